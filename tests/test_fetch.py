"""Fetching against a server that misbehaves in every
way that real ones do, and archives that mean harm.
"""

import hashlib
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import h5py
import numpy as np
import pytest
from rnn_captioning.data.coco import load_coco_data
from rnn_captioning.data.fetch import DATASETS, FLICKR8K, fetch, next_step
from rnn_captioning.files.download import download, unpack
from rnn_captioning.errors import InputError, raises
from systems import link

# no whole archive: its name must not end in .zip
BODY = b'PK' + random.Random(231).randbytes(200_000)


class Server(ThreadingHTTPServer):
    "Serves `files`; the other attributes say how it fails."

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.asked = {}, []
        self.cuts = []  # bytes after which each answer is cut off; None: not
        self.answers = []  # statuses to give before anything else
        self.redirects = {}  # path: where it is now
        self.headers = {}  # replace those of an answer; None: left out
        self.ranges = True  # whether Range is understood
        self.heed_if_range = True
        self.pause = 0  # seconds between pieces
        self.more = b''  # sent after the rest of a file, though none of it

    def handle_error(self, *args):
        pass  # a client that was killed

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        s = self.server
        s.asked.append((self.path, self.headers.get('Range'), self.headers.get('If-Range')))
        if s.answers and (status := s.answers.pop(0)):
            return self.send_error(status)
        if self.path in s.redirects:
            return self.head(302, {'Location': s.redirects[self.path], 'Content-Length': 0})
        if self.path not in s.files:
            return self.send_error(404)
        body = s.files[self.path]
        headers = {
            'ETag': f'"{hashlib.md5(body).hexdigest()}"',
            'Content-Type': 'application/octet-stream',
            'Content-Length': len(body),
        }
        status, start, wanted = 200, 0, self.headers.get('Range')
        if (
            wanted
            and s.ranges
            and (
                not s.heed_if_range
                or self.headers.get('If-Range')
                == (s.headers.get('Last-Modified') or headers['ETag'])
            )
        ):
            start = int(wanted[len('bytes=') : -1])
            if start >= len(body):
                return self.head(
                    416, {'Content-Range': f'bytes */{len(body)}', 'Content-Length': 0}
                )
            status, headers['Content-Length'] = 206, len(body) - start
            headers['Content-Range'] = f'bytes {start}-{len(body) - 1}/{len(body)}'
        self.head(
            status,
            headers
            | {
                name: value
                for name, value in s.headers.items()
                if status == 206 or name != 'Content-Range'
            },
        )
        cut = s.cuts.pop(0) if s.cuts else None
        rest = body[start:] + s.more * (status == 206) if cut is None else body[start : start + cut]
        for i in range(0, len(rest), 20_000):
            self.wfile.write(rest[i : i + 20_000])
            time.sleep(s.pause)

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def server():
    s = Server()
    threading.Thread(target=s.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True).start()
    s.files['/data.bin'] = BODY
    yield s
    s.shutdown()
    s.server_close()


def get(server, path, name='data.bin', **options):
    return download(f'{server.url}/{name}', path, **{**dict(wait=0.001, timeout=5), **options})


def zipped(members, method=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', method) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return made.getvalue()


def starts(server):
    return [int(r[len('bytes=') : -1]) if r else 0 for _, r, _ in server.asked]


def left(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))


# ---- download


def test_whole_file_and_nothing_else(server, tmp_path):
    path = get(server, tmp_path / 'new' / 'a')
    assert path.read_bytes() == BODY and left(tmp_path) == ['new', 'new/a']
    get(server, path)
    assert len(server.asked) == 1


def test_goes_on_after_interruptions(server, tmp_path):
    server.cuts = [50_000, 1, 70_000, 30_000]
    assert get(server, tmp_path / 'a').read_bytes() == BODY
    assert starts(server) == [0, 50_000, 50_001, 120_001, 150_001] and left(tmp_path) == ['a']


def test_retries_count_failures_without_progress(server, tmp_path):
    server.cuts = [20_000] * 8 + [0, 0, 0]
    with raises('ended after 160,000 of 200,002 bytes', '3 times'):
        get(server, tmp_path / 'a', retries=2)
    assert len(server.asked) == 10 and left(tmp_path) == ['a.part', 'a.part.json']
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server)[-1] == 160_000


def test_server_without_ranges(server, tmp_path):
    server.ranges, server.cuts = False, [50_000, 90_000]
    assert get(server, tmp_path / 'a').read_bytes() == BODY
    server.cuts = [50_000] * 9
    with raises('ended after 50,000', '3 times'):
        get(server, tmp_path / 'b', retries=2)


@pytest.mark.parametrize('heed', [True, False])
@pytest.mark.parametrize('length', [200_002, 150_000])
def test_changed_file_starts_over(server, tmp_path, heed, length):
    server.heed_if_range, server.cuts = heed, [50_000]
    with raises('ended after'):
        get(server, tmp_path / 'a', retries=0)
    server.files['/data.bin'] = newer = random.Random(7).randbytes(length)
    assert get(server, tmp_path / 'a').read_bytes() == newer and starts(server)[1] == 50_000


def test_dates_serve_where_tags_do_not(server, tmp_path):
    server.headers = {'ETag': 'W/"weak"', 'Last-Modified': 'Mon, 01 Jan 2024 00:00:00 GMT'}
    server.cuts = [50_000]
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server) == [0, 50_000]
    server.asked, server.headers, server.cuts = [], {'ETag': 'W/"weak"'}, [50_000]
    assert get(server, tmp_path / 'b').read_bytes() == BODY
    assert starts(server) == [0, 0], (
        'neither a strong tag nor a date: what came may belong to another file'
    )


def test_complete_part_needs_no_byte(server, tmp_path):
    server.headers, server.cuts = {'Content-Length': None}, []
    server.files['/data.bin'] = BODY
    tag = f'"{hashlib.md5(BODY).hexdigest()}"'
    (tmp_path / 'a.part').write_bytes(BODY)
    (tmp_path / 'a.part.json').write_text(
        json.dumps(dict(validator=tag, total=None)), encoding='utf-8'
    )
    # answered by 416
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server) == [len(BODY)]
    (tmp_path / 'b.part').write_bytes(BODY)
    (tmp_path / 'b.part.json').write_text(
        json.dumps(dict(validator=tag, total=len(BODY))), encoding='utf-8'
    )
    # not even asked
    assert get(server, tmp_path / 'b').read_bytes() == BODY and len(server.asked) == 1


def test_part_longer_than_the_file(server, tmp_path):
    (tmp_path / 'a.part').write_bytes(BODY + b'more')
    (tmp_path / 'a.part.json').write_text(
        json.dumps(dict(validator=f'"{hashlib.md5(BODY).hexdigest()}"', total=None)),
        encoding='utf-8',
    )
    assert get(server, tmp_path / 'a').read_bytes() == BODY


@pytest.mark.parametrize(
    'span', ['bytes 0-200001/200002', 'bytes 50000-200001/999999', 'bytes 7-8/9', 'nonsense', None]
)
def test_wrong_content_range(server, tmp_path, span):
    server.cuts, server.headers = [50_000], {'Content-Range': span}
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server) == [0, 50_000, 0]


@pytest.mark.parametrize(
    'note',
    [
        '',
        '{"validator": 1',
        '[]',
        '{"validator": "x", "total": "y"}',
        '{"validator": "", "total": 50000}',
        None,
    ],
)
def test_spoilt_note_starts_over(server, tmp_path, note):
    (tmp_path / 'a.part').write_bytes(b'x' * 50_000)
    if note is not None:
        (tmp_path / 'a.part.json').write_text(note, encoding='utf-8')
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server) == [0]


def test_content_length_too_long_and_absent(server, tmp_path):
    server.headers = {'Content-Length': 300_000}
    with raises('ended after 200,002 of 300,000 bytes'):
        get(server, tmp_path / 'a', retries=1)
    server.headers = {'Content-Length': None}
    assert get(server, tmp_path / 'b').read_bytes() == BODY


def test_more_than_the_rest_is_thrown_away(server, tmp_path):
    server.cuts = [50_000]
    with raises('ended after'):
        get(server, tmp_path / 'a', retries=0)
    server.more, server.headers = b'more', {'Content-Length': None}
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server) == [0, 50_000, 0]


def test_busy_server_is_asked_again_and_missing_page_is_not(server, tmp_path):
    server.answers = [503, 429, 500]
    assert get(server, tmp_path / 'a').read_bytes() == BODY and len(server.asked) == 4
    with raises('b: cannot be downloaded', '404 Not Found'):
        get(server, tmp_path / 'b', 'lost')
    assert len(server.asked) == 5 and left(tmp_path) == ['a']


def test_redirect_keeps_the_range(server, tmp_path):
    server.redirects['/old'], server.cuts = '/data.bin', [50_000]
    assert get(server, tmp_path / 'a', 'old').read_bytes() == BODY
    assert [(p, r) for p, r, _ in server.asked if p == '/data.bin'] == [
        ('/data.bin', None),
        ('/data.bin', 'bytes=50000-'),
    ]
    server.redirects['/round'] = '/round'
    with raises('round'):
        get(server, tmp_path / 'b', 'round')


def test_mirrors_in_turn_share_what_has_come(server, tmp_path):
    server.files['/mirror'], server.cuts = BODY, [50_000, 0, 0]
    urls = [f'{server.url}/lost', f'{server.url}/data.bin', f'{server.url}/mirror']
    assert download(urls, tmp_path / 'a', retries=1, wait=0.001).read_bytes() == BODY
    assert server.asked[-1][:2] == ('/mirror', 'bytes=50000-')


def test_nobody_there(tmp_path):
    with raises('cannot be reached', 'a: cannot be downloaded'):
        download('http://127.0.0.1:9/a', tmp_path / 'a', retries=1, wait=0.001)
    with raises("file:///etc/passwd", 'http'):
        download('file:///etc/passwd', tmp_path / 'a')
    assert left(tmp_path) == []


def test_silent_server_is_a_failure(server, tmp_path):
    server.pause = 1
    with raises('broke off'):
        get(server, tmp_path / 'a', retries=0, timeout=0.1)
    assert (tmp_path / 'a.part').stat().st_size == 20_000


@pytest.mark.parametrize('kind', ['text/html; charset=utf-8', 'application/zip'])
def test_html_in_place_of_a_zip_costs_nothing(server, tmp_path, kind):
    whole = zipped({'a': BODY})
    server.files['/a.zip'], server.cuts = whole, [50_000]
    with raises('ended'):
        get(server, tmp_path / 'a.zip', 'a.zip', retries=0)
    server.files['/a.zip'], server.headers = b'<html>Please log in</html>', {'Content-Type': kind}
    with raises('a web page in place of a.zip' if 'html' in kind else 'is not a zip archive'):
        get(server, tmp_path / 'a.zip', 'a.zip')
    assert (tmp_path / 'a.zip.part').read_bytes() == whole[:50_000]
    server.files['/a.zip'], server.headers = whole, {}
    get(server, tmp_path / 'a.zip', 'a.zip')
    assert starts(server) == [0, 50_000, 50_000]


@pytest.mark.parametrize('kind', ['md5', 'sha256'])
def test_hash_and_size(server, tmp_path, kind):
    right, wrong = hashlib.new(kind, BODY).hexdigest(), hashlib.new(kind, b'').hexdigest()
    with raises('a: cannot', f'has {kind} {right}', f'expected {wrong}'):
        get(server, tmp_path / 'a', digest=f'{kind}:{wrong}')
    assert left(tmp_path) == []
    with raises('200,002 bytes', 'expected 5'):
        get(server, tmp_path / 'a', size=5)
    get(server, tmp_path / 'a', size=len(BODY), digest=f'{kind}:{right.upper()}')
    with raises(f'expected {wrong}', 'remove it to download it again'):
        get(server, tmp_path / 'a', digest=f'{kind}:{wrong}')
    assert (tmp_path / 'a').read_bytes() == BODY


def test_truncated_zip_is_no_success(server, tmp_path):
    server.files['/a.zip'] = zipped({'a': BODY})[:-30]
    with raises('a.zip: is not a whole zip archive'):
        get(server, tmp_path / 'a.zip', 'a.zip')
    assert left(tmp_path) == []


def test_places_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('in the way', encoding='utf-8')
    with raises('file', 'no files can be written'):
        get(server, tmp_path / 'file' / 'a')
    with raises('is a folder'):
        get(server, tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10, 10, 1000))
    with raises('1,000 bytes free', 'expected 200,002'):
        get(server, tmp_path / 'a')
    (tmp_path / 'x.zip').write_bytes(zipped({'a': BODY}))
    with raises('1,000 bytes free', 'expected 200,002'):
        unpack(tmp_path / 'x.zip', tmp_path / 'out')


def child(*lines, **options):
    return subprocess.Popen(
        [
            sys.executable,
            '-c',
            '\n'.join(
                [
                    'from rnn_captioning.data.fetch import *',
                    'from rnn_captioning.files.download import *',
                    'from rnn_captioning.errors import InputError',
                    *lines,
                ]
            ),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding='utf-8',
        **options,
    )


@pytest.mark.skipif(os.name == 'nt', reason='limits of Unix')
def test_full_disk_keeps_what_came(server, tmp_path):
    out, err = child(
        'import resource',
        'resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))',
        'try:',
        f'    download("{server.url}/data.bin", r"{tmp_path}/a")',
        'except InputError as e: print(e)',
    ).communicate(timeout=30)
    assert 'a: cannot be written (File too large); what has come is kept' in out and not err, err
    assert get(server, tmp_path / 'a').read_bytes() == BODY and starts(server)[-1] > 0


def test_killed_process_goes_on(server, tmp_path):
    server.pause = 0.05
    process = child(f'download("{server.url}/data.bin", r"{tmp_path}/a")')
    while not (tmp_path / 'a.part').exists() or (tmp_path / 'a.part').stat().st_size < 60_000:
        time.sleep(0.005)
    with raises('another process is downloading it'):
        get(server, tmp_path / 'a')
    process.kill()
    process.communicate()
    server.pause = 0
    assert (
        not (tmp_path / 'a').exists()
        and get(server, tmp_path / 'a').read_bytes() == BODY
        and starts(server)[-1] >= 60_000
    )


def test_progress_is_on_standard_error_alone(server, tmp_path, capsys):
    server.cuts = [50_000]
    get(server, tmp_path / 'a', progress=True)
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('a: ') and '(100%)' in err and '\r' not in err
    get(server, tmp_path / 'b')
    assert capsys.readouterr() == ('', '')


# ---- unpack


def symlink(name):
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    'name',
    [
        '/tmp/evil',
        '../evil',
        'a/../../evil',
        r'..\evil',
        r'a\b',
        'C:evil',
        'C:/evil',
        './a',
        'a//b',
        'a/.',
        '..',
    ],
)
def test_names_that_lead_out_condemn_the_archive(tmp_path, name):
    (tmp_path / 'x.zip').write_bytes(zipped({'fine': b'1', name: b'2'}))
    with raises('may lie outside the folder') as message:
        unpack(tmp_path / 'x.zip', tmp_path / 'deep' / 'out')
    assert message[0].startswith(f'{tmp_path / "x.zip"}: member')
    assert left(tmp_path) == ['x.zip']


def test_links_in_archive_and_folder(tmp_path):
    (tmp_path / 'x.zip').write_bytes(zipped({symlink('a'): b'/etc', 'a/b': b''}))
    with raises("'a' is a link"):
        unpack(tmp_path / 'x.zip', tmp_path / 'out')
    (tmp_path / 'x.zip').write_bytes(zipped({'a/b': b'new'}))
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'out').mkdir()
    link(tmp_path / 'out' / 'a', tmp_path / 'elsewhere')
    with raises('leads out'):
        unpack(tmp_path / 'x.zip', tmp_path / 'out')
    assert left(tmp_path / 'elsewhere') == []


def test_bombs(tmp_path):
    def refused(members, *fragments, **limits):
        (tmp_path / 'x.zip').write_bytes(members if isinstance(members, bytes) else zipped(members))
        with raises('x.zip', *fragments):
            unpack(tmp_path / 'x.zip', tmp_path / 'out', **limits)
        assert left(tmp_path) == ['x.zip']

    refused({'zeros': bytes(5_000_000)}, '5,000,000 bytes', 'at most 100 times')
    refused({str(i): b'' for i in range(20)}, '20 members', 'at most 10', max_members=10)
    with pytest.warns(UserWarning, match='Duplicate'):
        made = zipped_twice('a')
    refused(made, "'a' twice")


def zipped_twice(name):
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w') as z:
        z.writestr(name, b'1'), z.writestr(name, b'2')
    return made.getvalue()


def test_member_longer_than_declared(tmp_path):
    data = bytearray(zipped({'a': BODY}))
    for signature, offset in [(b'PK\1\2', 24), (b'PK\3\4', 22)]:
        at = data.index(signature) + offset
        data[at : at + 4] = (100).to_bytes(4, 'little')
    (tmp_path / 'x.zip').write_bytes(data)
    with raises("member 'a' is broken"):
        unpack(tmp_path / 'x.zip', tmp_path / 'out')
    assert not (tmp_path / 'out' / 'a').exists() and all(
        p.stat().st_size <= 100 for p in (tmp_path / 'out').rglob('*') if p.is_file()
    )


def test_torn_and_broken_archives(tmp_path):
    path, whole = tmp_path / 'x.zip', zipped({'a': b'fine', 'b': BODY}, zipfile.ZIP_STORED)
    for content in (whole[:1000], whole[:-10], b'', b'<html>', b'PK\5\6'):
        path.write_bytes(content)
        with raises('x.zip: is not a whole zip archive', 'remove it to download it again'):
            unpack(path, tmp_path / 'out')
    path.write_bytes(whole[:3000] + b'?' + whole[3001:])
    with raises("x.zip: member 'b' is broken", 'CRC', 'remove the archive'):
        unpack(path, tmp_path / 'out')
    assert not (tmp_path / 'out' / 'a').exists(), 'all or nothing'
    encrypted = bytearray(whole)
    for signature, offset in [(b'PK\1\2', 8), (b'PK\3\4', 6)]:
        encrypted[encrypted.index(signature) + offset] |= 1
    path.write_bytes(encrypted)
    with raises("member 'a' is broken", 'encrypted'):
        unpack(path, tmp_path / 'new')
    with raises('nowhere.zip: cannot be unpacked'):
        unpack(tmp_path / 'nowhere.zip', tmp_path / 'out')
    path.write_bytes(zipped({'a': b'', 'a/b': b''}))
    with raises('cannot be unpacked'):
        unpack(path, tmp_path / 'out')


def test_any_torn_archive_is_a_line(tmp_path):
    whole = zipped({f'd/{i}': BODY[i * 500 : (i + 1) * 500] for i in range(8)})
    rng = random.Random(5)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / 'x.zip').write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        try:
            unpack(tmp_path / 'x.zip', tmp_path / 'out')
        except InputError as e:
            assert '\n' not in str(e)
    assert left(tmp_path)[0] == 'out' and {p.split('/')[0] for p in left(tmp_path)} <= {
        'out',
        'x.zip',
    }


def test_killed_unpacking_goes_on(tmp_path):
    path, out = tmp_path / 'x.zip', tmp_path / 'out'
    members = {f'd/{i}': BODY[i : i + 50_000] for i in range(30)}
    path.write_bytes(zipped(members))
    lines = [
        'import os, rnn_captioning.files.download as f',
        'written = f._write',
        'def slow(*args):',
        '    written(*args)',
        '    print("one", flush=True)',
        '    import time; time.sleep(.02)',
        'f._write = slow',
    ]
    process = child(*lines, f'f.unpack(r"{path}", r"{out}")')
    for _ in range(5):
        process.stdout.readline()
    process.kill()
    process.communicate()
    assert not (out / 'd').exists(), 'nothing is seen before all of it is whole'
    kept = {p: p.stat().st_mtime_ns for p in (out / '.x.zip.unpacking').rglob('*') if p.is_file()}
    assert len(kept) >= 5
    unpack(path, out)
    assert {p.name: p.read_bytes() for p in (out / 'd').iterdir()} == {
        n[2:]: content for n, content in members.items()
    }
    same = [
        (out / p.relative_to(out / '.x.zip.unpacking')).stat().st_mtime_ns == t
        for p, t in kept.items()
    ]
    assert sum(same) >= 4 and left(tmp_path)[0] == 'out' and not (out / '.x.zip.unpacking').exists()


def test_whole_files_are_kept_and_others_replaced(tmp_path):
    (tmp_path / 'x.zip').write_bytes(
        zipped(
            {
                'top/a': b'one',
                'top/b': b'two',
                '__MACOSX/top/._a': b'',
                'top/.DS_Store': b'',
                'top/': b'',
            }
        )
    )
    assert sorted(unpack(tmp_path / 'x.zip', tmp_path / 'out', strip='top/')) == [
        tmp_path / 'out' / 'a',
        tmp_path / 'out' / 'b',
    ]
    inode = (tmp_path / 'out' / 'a').stat().st_ino
    (tmp_path / 'out' / 'b').write_bytes(b'tw0')
    (tmp_path / 'out' / 'mine').write_bytes(b'')
    unpack(tmp_path / 'x.zip', tmp_path / 'out', strip='top/')
    assert (
        (tmp_path / 'out' / 'a').stat().st_ino == inode
        and (tmp_path / 'out' / 'b').read_bytes() == b'two'
        and left(tmp_path / 'out') == ['a', 'b', 'mine']
    )


# ---- fetch


def coco_archive(folder):
    "The course's archive, of ten pictures."
    folder.mkdir()
    rng, words = np.random.default_rng(231), ['<NULL>', '<START>', '<END>', '<UNK>', 'a', 'circle']
    captions = np.tile(np.array([1, 4, 5, 2] + [0] * 13, np.int32), (12, 1))
    with h5py.File(folder / 'coco2014_captions.h5', 'w') as f:
        for split, n in (('train', 12), ('val', 6)):
            f[f'{split}_captions'] = captions[:n]
            f[f'{split}_image_idxs'] = (np.arange(n) % (n // 2)).astype(np.int32)
    for split, n in (('train', 6), ('val', 3)):
        for end, width in (('', 40), ('_pca', 8)):
            with h5py.File(folder / f'{split}2014_vgg16_fc7{end}.h5', 'w') as f:
                f['features'] = rng.standard_normal((n, width)).astype(np.float32)
        (folder / f'{split}2014_urls.txt').write_text(
            ''.join(f'http://images/{i}.jpg\n' for i in range(n)), encoding='utf-8'
        )
        (folder / f'{split}2014_images.txt').write_text(
            ''.join(f'{split}2014/{i}.jpg\n' for i in range(n)), encoding='utf-8'
        )
    (folder / 'coco2014_vocab.json').write_text(
        json.dumps(dict(idx_to_word=words, word_to_idx={w: i for i, w in enumerate(words)})),
        encoding='utf-8',
    )
    return zipped(
        {
            'coco_captioning/': b'',
            **{f'coco_captioning/{p.name}': p.read_bytes() for p in folder.iterdir()},
        }
    )


def point(monkeypatch, server, name, check_of):
    "Let a row of the table lead to the server and expect the tiny data set."
    row = DATASETS[name]
    archives = tuple(
        a._replace(urls=(f'{server.url}/{a.file}',), digest=None, check=check_of(a.check))
        for a in row.archives
    )
    monkeypatch.setitem(DATASETS, name, row._replace(archives=archives))


@pytest.fixture
def coco(server, tmp_path, monkeypatch):
    server.files['/coco_captioning.zip'] = coco_archive(tmp_path / 'source')
    point(
        monkeypatch,
        server,
        'coco',
        lambda check: partial(check, counts=dict(train=(12, 6), val=(6, 3))),
    )
    monkeypatch.chdir(tmp_path)
    return server


@pytest.fixture
def flickr8k(server, tmp_path, monkeypatch):
    names = [f'{i}_0a.jpg' for i in range(10)]
    tokens = ''.join(
        f'{n}#{k}\tA red circle , above a {k} .\n'
        for n in [*names, '2258277193_586949ec62.jpg.1']
        for k in range(5)
    )
    lists = dict(zip(FLICKR8K, (names[:6], names[6:8], names[8:9])))
    text = {
        'Flickr8k.token.txt': tokens,
        'Flickr8k.lemma.token.txt': '',
        'readme.txt': 'hello',
        **{n: ''.join(f'{i}\n' for i in each) for n, each in lists.items()},
    }
    server.files |= {
        '/Flickr8k_text.zip': zipped({**text, '__MACOSX/._readme.txt': b'x'}),
        '/Flickr8k_Dataset.zip': zipped(
            {
                'Flicker8k_Dataset/': b'',
                **{f'Flicker8k_Dataset/{n}': b'\xff\xd8\xff' + BODY[:9000] for n in names},
                '__MACOSX/Flicker8k_Dataset/._0.jpg': b'x',
            }
        ),
    }
    point(
        monkeypatch,
        server,
        'flickr8k',
        lambda check: partial(check, counts={n: len(each) for n, each in lists.items()}),
    )
    monkeypatch.chdir(tmp_path)
    return server


def test_fetch_coco(coco):
    coco.cuts = [1000, 1000]
    folder = fetch('coco', wait=0.001)
    assert str(folder) == 'coco_captioning' and len(left(folder)) == 10, (
        'the files themselves, without the archive'
    )
    assert load_coco_data(folder)['train_features'].shape == (6, 8) and load_coco_data(
        folder, pca_features=False
    )['val_features'].shape == (3, 40)
    asked = len(coco.asked)
    assert fetch('coco') == folder and len(coco.asked) == asked == 3
    assert next_step('coco', folder) == 'rnn-captioning train coco_captioning'


def test_fetch_repairs_what_was_spoilt(coco):
    folder = fetch('coco')
    whole = (folder / 'train2014_vgg16_fc7_pca.h5').read_bytes()
    (folder / 'train2014_vgg16_fc7_pca.h5').write_bytes(whole[:500])
    fetch('coco')
    assert (folder / 'train2014_vgg16_fc7_pca.h5').read_bytes() == whole and len(coco.asked) == 2


def test_fetch_of_another_archive(coco, tmp_path):
    coco.files['/coco_captioning.zip'] = zipped({'readme.txt': 'moved'})
    with raises('coco2014_captions.h5: no such file'):
        fetch('coco')
    del coco.files['/coco_captioning.zip']
    with raises('404', 'put it into other and try again'):
        fetch('coco', 'other')
    (tmp_path / 'other').mkdir(exist_ok=True)
    shutil.copy(tmp_path / 'coco_captioning' / 'coco_captioning.zip', tmp_path / 'other')
    with raises('no such file'):
        fetch('coco', 'other')


def test_archive_put_there_by_hand(coco, tmp_path):
    (tmp_path / 'by hand').mkdir()
    (tmp_path / 'by hand' / 'coco_captioning.zip').write_bytes(
        coco.files.pop('/coco_captioning.zip')
    )
    folder = fetch('coco', 'by hand')
    assert (
        not coco.asked
        and (folder / 'coco_captioning.zip').exists()
        and (folder / 'coco2014_vocab.json').exists()
    )
    assert next_step('coco', folder) == (
        'rnn-captioning train "by hand"' if os.name == 'nt' else "rnn-captioning train 'by hand'"
    )


def test_fetch_flickr8k(flickr8k, capsys):
    flickr8k.cuts = [200, 200, None, 3000]
    folder = fetch('flickr8k', wait=0.001, progress=True)
    assert capsys.readouterr().out == ''
    assert left(folder) == sorted(
        [
            'Flicker8k_Dataset',
            *[f'Flicker8k_Dataset/{i}_0a.jpg' for i in range(10)],
            'Flickr8k.token.txt',
            'Flickr8k.lemma.token.txt',
            'readme.txt',
            *FLICKR8K,
        ]
    )
    asked = len(flickr8k.asked)
    fetch('flickr8k')
    assert len(flickr8k.asked) == asked
    for path in folder.glob('Flicker8k_Dataset/*'):
        path.unlink()
    fetch('flickr8k')
    assert [p for p, *_ in flickr8k.asked[asked:]] == ['/Flickr8k_Dataset.zip'], (
        'only what is missing'
    )
    words = next_step('flickr8k', folder).split()
    assert words[:2] == ['rnn-captioning', 'prepare'] and all(
        Path(w.rpartition('=')[2]).exists() for w in words if 'flickr8k/' in w
    )


@pytest.mark.parametrize(
    'damage, fragments',
    [
        (
            lambda f: (f / 'Flicker8k_Dataset' / '3_0a.jpg').unlink(),
            ('3_0a.jpg: no such file', '9 pictures'),
        ),
        (
            lambda f: (f / 'Flicker8k_Dataset' / '3_0a.jpg').write_bytes(b'<html>'),
            ('3_0a.jpg: is not a JPEG',),
        ),
        (
            lambda f: (f / 'Flickr_8k.devImages.txt').write_text('6_0a.jpg\n', encoding='utf-8'),
            ('devImages.txt: lists 1 pictures', 'expected 2'),
        ),
        (
            lambda f: (f / 'Flickr8k.token.txt').write_text('0_0a.jpg#0\tA\n', encoding='utf-8'),
            ('has 1 captions of 0_0a.jpg', 'expected 5'),
        ),
        (lambda f: (f / 'Flickr8k.token.txt').unlink(), ('Flickr8k.token.txt: no such file',)),
    ],
)
def test_flickr8k_is_known_by_its_content(flickr8k, damage, fragments):
    folder, archives = fetch('flickr8k'), DATASETS['flickr8k'].archives
    for archive in archives:
        archive.check(folder)
    damage(folder)
    with raises(*fragments):
        for archive in archives:
            archive.check(folder)
    fetch('flickr8k')
    for archive in archives:
        archive.check(folder)


def test_killed_fetch_goes_on(flickr8k, tmp_path):
    flickr8k.pause = 0.1
    process = child(
        'import threading, os, time',
        'rows = DATASETS["flickr8k"]',
        f'def at(a): return a._replace(urls=("{flickr8k.url}/" + a.file,), digest=None, '
        'check=lambda folder: a.check(folder, counts={"Flickr_8k.trainImages.txt": 6, '
        '"Flickr_8k.devImages.txt": 2, "Flickr_8k.testImages.txt": 1}))',
        'DATASETS["flickr8k"] = rows._replace(archives=tuple(map(at, rows.archives)))',
        'fetch("flickr8k")',
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parent.parent)},
    )
    part = tmp_path / 'flickr8k' / 'Flickr8k_Dataset.zip.part'
    while process.poll() is None and (not part.exists() or part.stat().st_size < 20_000):
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()[1]
    process.kill()
    process.communicate()
    flickr8k.pause = 0
    fetch('flickr8k')
    assert (
        starts(flickr8k)[-1] >= 20_000
        and sum(p == '/Flickr8k_text.zip' for p, *_ in flickr8k.asked) == 1
    )


def test_table_and_unknown_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raises("'mnist'", 'coco or flickr8k'):
        fetch('mnist')
    assert set(DATASETS) == {'coco', 'flickr8k'}
    for name, row in DATASETS.items():
        for archive in row.archives:
            assert all(
                url.endswith('/' + archive.file) and url.startswith('http') for url in archive.urls
            )
            assert (
                archive.digest is None
                or archive.digest.startswith('md5:')
                and len(archive.digest) == 36
            )
            with raises('no such file'):
                archive.check(tmp_path / name)
    assert not left(tmp_path)
