# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks with their decoding as ONNX files: 3D pose, order of two persons, root depth.

A file answers as the inferencer does for the same crop, with the averaging that the config's
``model.test_cfg`` asks for. B, the batch, is free; K joints; px are those of the crop.

Inputs, float32:

    - images (B, 3, H, W): crops as ``cv2.imread`` gives pixels, blue green red, 0 to 255. The file
      normalises them. Of a person: :func:`wsp_mm.structures.bbox.crop_box`; of a pair: the square
      about the centre of the box around both, padding times its longer side.
    - boxes (B, 2, 4), of an order network: x1 y1 x2 y2 of persons A and B, px
    - root_k (B,), of a root network: :func:`wsp_mm.structures.bbox.k_value` of the crop, mm

Outputs, float32:

    - pose: keypoints (B, K, 2) px, keypoints_depth (B, K) mm relative to the root
    - order: keypoints (B, 2, K, 2) px, keypoint_scores (B, 2, K), depth_probs (B, K) that A's joint
      is nearer than B's, pair_probs (B,), their mean over ``pair_joints``
    - root: keypoints (B, 1, 2) px, root_depth (B,) mm

The metadata of a file are texts: kind, input_size [W, H], channels, padding, joint_set,
joint_names, and config and checkpoint with their SHA-256. Needs the extra ``onnx``.
"""

import json
import warnings

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from wsp_mm.apis.models import Network
from wsp_mm.structures.keypoints import get_joint_set

#: Names of the inputs and outputs of each kind of network.
INPUTS = dict(pose=['images'], order=['images', 'boxes'], root=['images', 'root_k'])
OUTPUTS = dict(
    pose=['keypoints', 'keypoints_depth'],
    order=['keypoints', 'keypoint_scores', 'depth_probs', 'pair_probs'],
    root=['keypoints', 'root_depth'],
)
#: Largest differences that :func:`check_onnx` accepts: px, scores and probabilities, mm.
TOLERANCES = {
    **dict.fromkeys(('keypoints', 'keypoint_scores', 'depth_probs', 'pair_probs'), 1e-3),
    **dict.fromkeys(('keypoints_depth', 'root_depth'), 0.1),
}


class WithDecoding(nn.Module):
    """A network from pixels to keypoints, see this module.

    Args:
        network: as :func:`load_network` gives it.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.model, self.kind = network.model, network.kind
        self.test_cfg = dict(network.model.test_cfg or {})
        self.flip_indices = None
        if self.test_cfg.get('flip_test', False):
            self.flip_indices = list(get_joint_set(network.joint_set).flip_indices)

    def forward(self, images: Tensor, more: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the outputs of this kind; ``more`` are boxes or root_k."""
        preprocessor, head = self.model.data_preprocessor, self.model.head
        if preprocessor._channel_conversion:
            images = images.flip(1)
        if preprocessor._enable_normalize:
            images = (images - preprocessor.mean) / preprocessor.std
        feats = self.model.extract_feat(images)
        if self.flip_indices is not None:
            feats = [feats, self.model.extract_feat(images.flip(-1))]
        codec = head.decoder
        if self.kind == 'order':
            shift = self.test_cfg.get('shift_heatmap', False)
            heatmaps, _, answer = head.answers(feats, more, self.flip_indices, shift)
            probs = head.probabilities(answer)
            return *codec.peaks(heatmaps, more), probs, probs[:, head.pair_joints].mean(-1)
        scale = images.new_tensor(np.divide(codec.input_size, codec.heatmap_size[:2]))
        if self.kind == 'root':
            place, gamma = head(feats)
            return place * scale, gamma[:, 0] * more
        mode = self.test_cfg.get('flip_mode', 'exact')
        positions = head.positions(feats, self.flip_indices, mode)
        depth = positions[..., 2] * float(codec.scale[2]) + float(codec.origin[2])
        return positions[..., :2] * scale, depth


def metadata(network: Network) -> dict[str, str]:
    """Return what the file says of itself, see this module; lists are json."""
    joint_set = network.joint_set
    joints = list(get_joint_set(joint_set).joints) if joint_set else ['pelvis']
    # Of the transform that places the crop, the only one with such a setting.
    (padding,) = (t.padding for t in network.pipeline.transforms if hasattr(t, 'padding'))
    return dict(
        kind=network.kind,
        input_size=json.dumps(network.model.head.decoder.input_size),
        channels='BGR, 0 to 255',
        padding=str(padding),
        joint_set=joint_set or '',
        joint_names=json.dumps(joints),
        **network.identity,
    )


def random_inputs(network: Network, count: int, seed: int = 0) -> tuple[dict, list[dict]]:
    """Return inputs (B, ...) by name, and the same crops packed for :meth:`Network.predict`.

    The images are blobs of random colours, cut out at random boxes by the config's own pipeline.
    """
    rng, crops = np.random.default_rng(seed), []
    width, height = network.model.head.decoder.input_size
    for _ in range(count):
        blobs = rng.integers(0, 256, (12, 16, 3), np.uint8)
        image = cv2.resize(blobs, (640, 480), interpolation=cv2.INTER_CUBIC)
        boxes = rng.uniform((50, 50, 60, 120), (400, 200, 200, 250), (2, 4))
        boxes = boxes[: 2 if network.kind == 'order' else 1]
        crop = network.crop(image, boxes, camera=dict(f=(1000, 1000), c=(320, 240)))
        # So that predictions stay in px of the crop.
        own = dict(input_center=(width / 2, height / 2), input_scale=(width, height))
        crop['data_samples'].set_metainfo({k: np.float32(v) for k, v in own.items()})
        crops.append(crop)
    samples = [crop['data_samples'] for crop in crops]
    inputs = dict(images=torch.stack([crop['inputs'] for crop in crops]).float())
    if network.kind == 'order':
        inputs['boxes'] = torch.cat([s.gt_instance_labels.pair_bboxes_input for s in samples])
    if network.kind == 'root':
        inputs['root_k'] = torch.tensor([s.metainfo['root_k'].item() for s in samples])
    return inputs, crops


def export_onnx(network: Network) -> bytes:
    """Return the content of the ONNX file of a network, which is on the CPU and in float32.

    Raises:
        ImportError: the extra ``onnx`` is not installed.
        ValueError: the network works with one size of the batch alone.
    """
    inputs, _ = random_inputs(network, 2)
    batch = {0: torch.export.Dim('batch')}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of torch about itself
        program = torch.onnx.export(
            WithDecoding(network).eval(),
            tuple(inputs.values()),
            input_names=INPUTS[network.kind],
            output_names=OUTPUTS[network.kind],
            dynamic_shapes=tuple(batch for _ in inputs),
            dynamo=True,
            verbose=False,
        )
    # torch falls back to a fixed size without an error.
    if isinstance(program.model.graph.inputs[0].shape[0], int):
        raise ValueError('the network cannot be exported for batches of any size')
    program.model.metadata_props.update(metadata(network))
    return program.model_proto.SerializeToString()


def check_onnx(network: Network, content: bytes) -> dict[str, float]:
    """Compare a file in onnxruntime with the network in torch, for batches of 1 and 3.

    Args:
        network: the network, on the CPU.
        content: of the file.

    Returns:
        The largest difference of each output.

    Raises:
        ValueError: one is beyond :data:`TOLERANCES`.
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    largest = dict.fromkeys(OUTPUTS[network.kind], 0.0)
    for count in (1, 3):
        inputs, crops = random_inputs(network, count, seed=count)
        found = session.run(list(largest), {k: v.numpy() for k, v in inputs.items()})
        preds = network.predict(crops)
        for name, values in zip(largest, found, strict=True):
            field = f'{name}_averaged' if f'{name}_averaged' in preds[0] else name
            wanted = np.stack([pred[field] for pred in preds]).reshape(values.shape)
            largest[name] = np.maximum(largest[name], np.abs(values - wanted).max()).item()
    for name, difference in largest.items():
        if not difference <= TOLERANCES[name]:  # nan is none, either
            raise ValueError(
                f'{name} of onnxruntime and torch differ by up to {difference:.3g}, '
                f'{TOLERANCES[name]:g} is accepted: not the same network, or a faulty export'
            )
    return largest
