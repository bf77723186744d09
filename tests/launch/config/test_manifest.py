import pytest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("headGroupSpec:", "headGroup:", "unknown key 'spec.headGroup'; did you mean 'spec.headGroupSpec'?"),
        ("name: raybayes\n", "name: Ray_Bayes\n", "lower-case letters, digits and '-'"),
        ("replicas: 2\n      min", "replicas: 5\n      min", "replicas: 5 is not between minReplicas 2"),
        ("ray.io/v1", "ray.io/v1alpha1", "apiVersion"),
        ("mode: token", "mode: tokn", "spec.authOptions.mode"),
    ],
)
def test_wrong_manifests(kuberay_text, refused, old, new, words):
    assert old in kuberay_text
    assert words in refused(kuberay_text.replace(old, new))
