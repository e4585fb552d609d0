"""Names of images."""

import pytest
from scaler.managers.api import ConfigurationError
from scaler_plugin_ecs.images import check_image


@pytest.mark.parametrize(
    "image",
    [
        "public.ecr.aws/v4u8j8r6/scaler:latest",
        "scaler",
        "python:3.12-slim",
        "localhost:5000/a/b_c/d--e:v1.2_3",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/scaler@sha256:" + "a" * 64,
        "Registry.Example.org/scaler:Latest",
    ],
)
def test_image_that_a_registry_can_have_is_taken(image: str) -> None:
    check_image(image)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("", "it is empty"),
        ("https://public.ecr.aws/scaler", "it has no scheme"),
        ("my image", "it has no blanks"),
        ("public.ecr.aws/Scaler", "it has no capital letters"),
        ("scaler:", ""),
        ("scaler:a:b", ""),
        ("/scaler", ""),
        ("scaler@sha256:abc", ""),
        ("a" * 300, ""),
    ],
)
def test_name_that_no_image_has_is_refused_with_why(image: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of a container image") as caught:
        check_image(image)
    assert why in caught.value.what
    assert caught.value.where == "--ecs-task-image"
    assert "public.ecr.aws/v4u8j8r6/scaler:latest" in caught.value.mend
