import napari_mpi._napari.sample_data


def test_the_sample_opens_in_a_viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-mpi", "synthetic")
    noisy, truth = viewer.layers["synthetic noisy"], viewer.layers["synthetic truth"]
    assert noisy.data.shape == truth.data.shape == (3, 256, 256)
    assert noisy.data.dtype == "uint16"
    assert 1 < (noisy.data - truth.data).std() < 20


def test_the_sample_is_the_same_each_time():
    first = napari_mpi._napari.sample_data.synthetic_stack()[1][0]
    again = napari_mpi._napari.sample_data.synthetic_stack()[1][0]
    assert (first == again).all()
