"""The published layout, written plainly, and the product's head give the same numbers."""

import pytest
import torch

from benchmarks.oneshot_head.reference import reference_head
from trainables.oneshot.geometry.windows import Geometry, boxes_of
from trainables.oneshot.model.head import Head, normalise


@pytest.mark.parametrize("transform", ["affine4", "affine6", "affine6_inverse"])
def test_both_layouts_agree(transform):
    generator = torch.Generator().manual_seed(0)
    head = Head(Geometry(7, 1, "reference"), transform, "float32").eval()
    with torch.no_grad():
        head.transform.linear.weight.normal_(0, 0.02, generator=generator)
        classes = normalise(torch.randn(3, 16, 7, 7, generator=generator))
        scene = torch.randn(1, 16, 11, 13, generator=generator)
        found = head(classes, normalise(scene), torch.ones(3, 2))
        scores, boxes = reference_head(head, classes, scene)
    assert (found.scores[0] - scores).abs().max() < 1e-5
    assert (boxes_of(found.maps, 7)[0].view(boxes.shape) - boxes).abs().max() < 1e-2
    assert boxes.std() > 1


def test_the_published_layout_is_for_the_published_sampling():
    head = Head(Geometry(7, 1, "exact"), "affine4", "float32")
    with pytest.raises(ValueError, match="sampling = reference"):
        reference_head(head, torch.zeros(1, 4, 7, 7), torch.zeros(1, 4, 9, 9))
