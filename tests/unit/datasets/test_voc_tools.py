"""Pascal VOC files as annotation tools write them: encodings, spellings, and where they put them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.datasets.opening import open_dataset
from models.datasets.samples import DatasetError
from models.datasets.xml_lines import MAX_BYTES, read_xml
from tests.unit.evaluation_files import objects, problems, write_photo, write_text

BOX = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
OBJECT = f"<object><name>cat</name><difficult>0</difficult>{BOX}</object>"
SIZE = "<size><width>100</width><height>60</height><depth>3</depth></size>"
READ = [[10, 20, 30, 40]]


def write_voc(folder: Path, inside: str = OBJECT, size: str = SIZE) -> Path:
    """Writes a good photo `a`, and a photo `b` with what is tried."""
    for stem, text in (("a", SIZE + OBJECT), ("b", size + "\n" + inside)):
        write_photo(folder / "JPEGImages" / f"{stem}.jpg")
        write_text(folder / "Annotations" / f"{stem}.xml", f"<annotation>{text}</annotation>")
    return folder


def write_bytes(folder: Path, data: bytes) -> Path:
    write_voc(folder)
    (folder / "Annotations" / "b.xml").write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("GB2312", "gb2312", "猫"),
        ("gb2312", "gbk", "鎔"),
        ("GBK", "gbk", "猫"),
        ("GB18030", "gb18030", "猫"),
        ("Shift_JIS", "shift_jis", "ネコ"),
        ("shift-jis", "cp932", "①"),
        ("Windows-31J", "cp932", "①"),
        ("x-sjis", "shift_jis", "ネコ"),
        ("EUC-JP", "euc_jp", "ネコ"),
        ("ISO-2022-JP", "iso2022_jp", "ネコ"),
        ("Big5", "big5", "貓"),
        ("EUC-KR", "euc_kr", "고양이"),
        ("ks_c_5601-1987", "euc_kr", "고양이"),
        ("windows-1251", "cp1251", "кот"),
        ("KOI8-R", "koi8_r", "кот"),
        ("ISO-8859-1", "latin-1", "vélo"),
        ("latin1", "cp1252", "“vélo”"),
        ("us-ascii", "ascii", "cat"),
        ("utf8", "utf-8", "猫"),
        ("utf-8", "utf-8-sig", "猫"),
        ("GB2312", "utf-8-sig", "猫"),
        ("utf-16", "utf-16", "猫"),
        ("UTF-16LE", "utf-16-le", "猫"),
        ("utf-16", "utf-16-be", "猫"),
        ("utf-16", "utf-8", "猫"),
        ("utf-32", "utf-32", "猫"),
    ],
)
def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path: Path, declared: str, codec: str, name: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<annotation>{OBJECT.replace("cat", name)}</annotation>'
    data = open_dataset(str(write_bytes(tmp_path, text.encode(codec))), "detection")
    assert (problems(data), set(data.class_names)) == ([], {"cat", name})
    assert objects(data, 1).boxes.tolist() == READ


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        (b'<?xml version="1.0" encoding="x-nobody"?>', b"cat", "its encoding 'x-nobody' is not known"),
        (b'<?xml version="1.0" encoding="unicode_escape"?>', b"cat", "its encoding 'unicode_escape' is not known"),
        (b'<?xml version="1.0" encoding="hex"?>', b"cat", "its encoding 'hex' is not known"),
        (b'<?xml version="1.0" encoding="utf-8"?>', "车".encode("gbk"), "declares utf-8, and is not in it: byte"),
        (b'<?xml version="1.0" encoding="EUC-JP"?>', "猫".encode("cp932"), "declares EUC-JP, and is not in it"),
        (b'<?xml version="1.0"?>', "车".encode("gbk"), "declares no encoding, which means UTF-8"),
        (
            b"",
            "vélo".encode("latin-1"),
            "declares no encoding, which means UTF-8, and is not in it: byte .*, in line 2",
        ),
        (b"\xff\xfe", b"cat", "not XML that can be read"),
    ],
)
def test_a_file_in_no_known_encoding_is_left_out_and_named(
    tmp_path: Path, head: bytes, body: bytes, message: str
) -> None:
    text = head + b"\n<annotation>" + OBJECT.encode().replace(b"cat", body) + b"</annotation>"
    data = open_dataset(str(write_bytes(tmp_path, text)), "detection")
    assert (len(data), problems(data)) == (1, [("unreadable", None)])
    assert data.problems[0].file == str(tmp_path / "Annotations" / "b.xml")
    with pytest.raises(DatasetError, match=message):
        read_xml(tmp_path / "Annotations" / "b.xml")


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><annotation>&b;</annotation>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><annotation/>',
        "<annotation>&unknown;</annotation>",
        "<annotation>" + "<a>" * 100_000,
        "<annotation>" + "<a/>" * 300_000 + "</annotation>",
        "<annotation>" + "x" * MAX_BYTES + "</annotation>",
        "<annotations><image name='a.jpg'/></annotations>",
        "<annotation>\0</annotation>",
        "",
    ],
    ids=["bomb", "external", "dtd", "undefined", "deep", "many", "large", "cvat", "nul", "empty"],
)
def test_a_hostile_or_foreign_file_is_left_out_at_once(tmp_path: Path, text: str) -> None:
    folder = write_bytes(tmp_path, text.encode())
    before = time.perf_counter()
    data = open_dataset(str(folder), "detection")
    assert time.perf_counter() - before < 10
    assert (len(data), problems(data)) == (1, [("unreadable", None)])


@pytest.mark.parametrize("width", ["320.0", "0", "-1", "", None, "0.0"])
def test_a_size_is_compared_where_it_is_known(tmp_path: Path, width: str | None) -> None:
    real = "100.0" if width == "320.0" else width
    size = "<size/>" if real is None else f"<size><width>{real}</width><height>60.0</height></size>"
    data = open_dataset(str(write_voc(tmp_path, size=size)), "detection")
    assert (problems(data), objects(data, 1).boxes.tolist()) == ([], READ)


@pytest.mark.parametrize(("width", "kind"), [("320.0", "wrong_size"), ("wide", "bad_number"), ("nan", "bad_number")])
def test_a_wrong_size_leaves_out_the_photo(tmp_path: Path, width: str, kind: str) -> None:
    size = f"\n<size><width>{width}</width><height>60</height></size>"
    data = open_dataset(str(write_voc(tmp_path, size=size)), "detection")
    assert (len(data), problems(data)) == (1, [(kind, 2)])


@pytest.mark.parametrize(
    ("difficult", "crowd"),
    [
        *((text, False) for text in ("0", "0.0", " 0 ", "", "Unspecified", "false", "False")),
        *((text, True) for text in ("1", "1.0", "\n1\n", "true", "True", "yes")),
    ],
)
def test_difficult_is_read_in_every_spelling(tmp_path: Path, difficult: str, crowd: bool) -> None:
    inside = OBJECT.replace("<difficult>0<", f"<difficult>{difficult}<")
    data = open_dataset(str(write_voc(tmp_path, inside)), "detection")
    assert (problems(data), objects(data, 1).crowds.tolist()) == ([], [crowd])


def test_difficult_may_be_missing_and_must_say_yes_or_no(tmp_path: Path) -> None:
    data = open_dataset(str(write_voc(tmp_path, OBJECT.replace("<difficult>0</difficult>", ""))), "detection")
    assert (problems(data), objects(data, 1).crowds.tolist()) == ([], [False])
    data = open_dataset(str(write_voc(tmp_path, OBJECT.replace(">0<", ">perhaps<"))), "detection")
    assert (problems(data), objects(data, 1).crowds.tolist()) == ([("bad_number", 2)], [False])


@pytest.mark.parametrize(
    ("box", "read"),
    [
        ("10.5 20.5 30.5 40.5", [[9.5, 19.5, 30.5, 40.5]]),
        ("11 21 11 21", [[10, 20, 11, 21]]),
        ("0 0 30 40", [[-1, -1, 30, 40]]),
        ("+11 21e0 30 40", READ),
    ],
)
def test_corners_may_be_floats(tmp_path: Path, box: str, read: list[list[float]]) -> None:
    data = open_dataset(str(write_voc(tmp_path, f"<object><name>cat</name>{corners(box)}</object>")), "detection")
    assert (problems(data), objects(data, 1).boxes.tolist()) == ([], read)


@pytest.mark.parametrize(
    ("inside", "kind", "said"),
    [
        ("10,5 20,5 30,5 40,5", "bad_number", "10,5, 20,5"),
        ("30 40 11 21", "zero_area", "no area"),
        ("-40 21 30 40", "outside_image", "was cut"),
        ("111 21 130 40", "outside_image", "outside"),
        ("inf 21 30 40", "bad_number", "inf"),
        ("<robndbox><cx>20</cx><cy>30</cy><w>9</w><h>5</h><angle>0.3</angle></robndbox>", "bad_number", "<robndbox>"),
        ("<polygon><x1>1</x1><y1>1</y1></polygon>", "bad_number", "<polygon> and no <bndbox>"),
        ("", "bad_number", "no <bndbox>"),
        (BOX + BOX, "bad_number", "2 <bndbox>"),
    ],
)
def test_a_box_that_is_none_is_told_with_its_line(tmp_path: Path, inside: str, kind: str, said: str) -> None:
    box = inside if inside.startswith("<") or not inside else corners(inside)
    wrong = f"{OBJECT}\n<object><name>cat</name>{box}</object>"
    data = open_dataset(str(write_voc(tmp_path, wrong)), "detection")
    assert (problems(data), said in data.problems[0].message) == ([(kind, 3)], True)


def corners(text: str) -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), text.split(), strict=True)
    return "<bndbox>" + "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags) + "</bndbox>"


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    part = f"<part><name>head</name>{BOX.replace('11', '12')}</part>"
    data = open_dataset(str(write_voc(tmp_path, OBJECT.replace("</object>", part + "</object>"))), "detection")
    assert (data.class_names, objects(data, 1).boxes.tolist()) == (("cat",), READ)


@pytest.mark.parametrize("inside", [f"<Object>{BOX}</Object>", f"<objects>{OBJECT}</objects>"])
def test_objects_of_another_element_are_told(tmp_path: Path, inside: str) -> None:
    data = open_dataset(str(write_voc(tmp_path, inside)), "detection")
    assert problems(data) == [("unreadable", 2)]


@pytest.mark.parametrize("filename", ["a.jpg", "b.png", r"C:\photos\b.jpg", "", "猫 1.jpg", "../b.jpg"])
def test_the_name_of_the_xml_file_decides_whatever_filename_says(tmp_path: Path, filename: str) -> None:
    data = open_dataset(str(write_voc(tmp_path, f"<filename>{filename}</filename>{OBJECT}")), "detection")
    assert (problems(data), data.load(1).name, objects(data, 1).boxes.tolist()) == ([], "JPEGImages/b.jpg", READ)


def test_filename_names_the_photo_of_a_file_with_another_name(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, rf"<filename>D:\x\b.jpg</filename>{OBJECT}")
    (folder / "Annotations" / "b.xml").rename(folder / "Annotations" / "0002.xml")
    data = open_dataset(str(folder), "detection")
    assert (problems(data), {data.load(0).name, data.load(1).name}) == ([], {"JPEGImages/a.jpg", "JPEGImages/b.jpg"})
    (folder / "JPEGImages" / "b.jpg").unlink()
    assert problems(open_dataset(str(folder), "detection")) == [("missing_file", None)]


@pytest.mark.parametrize(
    ("photos", "labels"),
    [
        ("images", "Annotations"),
        ("images", "annotations"),
        ("Images", "annotations"),
        ("images", "annotations/xmls"),
        ("jpegimages", "ANNOTATIONS"),
        (".", "Annotations"),
        (".", "."),
    ],
)
def test_photos_and_labels_are_found_where_tools_put_them(tmp_path: Path, photos: str, labels: str) -> None:
    for stem in ("a", "b.1"):
        write_photo(tmp_path / photos / f"{stem}.JPG")
        write_text(tmp_path / labels / f"{stem}.XML", f"<annotation>{SIZE}{OBJECT}</annotation>")
    data = open_dataset(str(tmp_path), "detection")
    assert (len(data), problems(data), objects(data, 1).boxes.tolist()) == (2, [], READ)


def test_folders_below_keep_photos_of_one_name_apart(tmp_path: Path) -> None:
    for folder, name in (("day", "cat"), ("night", "dog")):
        write_photo(tmp_path / "JPEGImages" / folder / "1.jpg")
        inside = OBJECT.replace("cat", name)
        write_text(tmp_path / "Annotations" / folder / "1.xml", f"<annotation>{inside}</annotation>")
    write_text(tmp_path / "ImageSets" / "Main" / "default.txt", "night/1\nday/1.jpg 1\n")
    data = open_dataset(str(tmp_path), "detection")
    assert [data.load(index).name for index in (0, 1)] == ["JPEGImages/night/1.jpg", "JPEGImages/day/1.jpg"]
    assert [data.class_names[objects(data, index).class_ids[0]] for index in (0, 1)] == ["dog", "cat"]


def test_a_list_may_name_photos_with_spaces_and_suffixes(tmp_path: Path) -> None:
    for stem in ("my cat 1", "b", "c"):
        write_photo(tmp_path / "JPEGImages" / f"{stem}.jpg")
        write_text(tmp_path / "Annotations" / f"{stem}.xml", f"<annotation>{OBJECT}</annotation>")
    listed = "my cat 1\r\nb.jpg\r\nJPEGImages\\c.jpg -1\r\n"
    write_text(tmp_path / "ImageSets" / "Main" / "val.txt", listed)
    data = open_dataset(str(tmp_path), "detection")
    assert (len(data), problems(data)) == (3, [])


def test_two_photos_of_one_name_are_told(tmp_path: Path) -> None:
    write_photo(write_voc(tmp_path) / "JPEGImages" / "a.png")
    data = open_dataset(str(tmp_path), "detection")
    assert (len(data), problems(data)) == (2, [("duplicate", None)])


def test_colours_of_a_label_map_are_not_taken_for_the_classes_of_voc(tmp_path: Path) -> None:
    write_photo(tmp_path / "JPEGImages" / "a.jpg")
    write_photo(tmp_path / "SegmentationClass" / "a.png")
    write_text(tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n")
    with pytest.raises(DatasetError, match=r"labelmap.txt: names classes by colours"):
        open_dataset(str(tmp_path), "semantic")


FIELDS = {
    "xmin": st.sampled_from(["11", " 11 ", "11.0", "1.1e1", "+11", "0011", "11,0", "", "11px", "x", "-11"]),
    "xmax": st.sampled_from(["30", "30.0", "30.", "3e1", "\n30\n", "30,0", "5", "300", "nan"]),
    "difficult": st.sampled_from(["0", "", "0.0", "Unspecified", "False", "2 of 3"]),
    "width": st.sampled_from(["100", "100.0", "0", "-1", "", "x", "99"]),
    "name": st.sampled_from(["cat", " cat ", "\ncat\n", "<![CDATA[cat]]>", "c&#97;t", "", "<!-- -->cat"]),
    "order": st.permutations(["name", "difficult", "bndbox", "pose", "truncated", "part"]),
    "codec": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb2312", "shift_jis", "big5", "cp1252"]),
    "end": st.sampled_from(["\n", "\r\n", "\r", ""]),
}


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries(FIELDS))
def test_every_spelling_is_read_as_the_plain_one_or_told(tmp_path_factory: pytest.TempPathFactory, by: dict) -> None:
    folder = tmp_path_factory.mktemp("voc")
    members = {
        "name": f"<name>{by['name']}</name>",
        "difficult": f"<difficult>{by['difficult']}</difficult>",
        "bndbox": f"<bndbox><ymax>40</ymax><xmax>{by['xmax']}</xmax><ymin>21</ymin><xmin>{by['xmin']}</xmin></bndbox>",
        "pose": "<pose>Left</pose>",
        "truncated": "<truncated>Unspecified</truncated>",
        "part": f"<part><name>head</name>{BOX}</part>",
    }
    size = f"<size><height>60</height><width>{by['width']}</width></size>"
    lines = ["<annotation>", size, "<object>", *(members[key] for key in by["order"]), "</object>", "</annotation>"]
    declaration = f'<?xml version="1.0" encoding="{by["codec"].removesuffix("-sig")}"?>'
    text = by["end"].join([declaration, *lines])
    data = open_dataset(str(write_bytes(folder, text.encode(by["codec"]))), "detection")
    if not data.problems:
        assert (objects(data, 1).boxes.tolist(), objects(data, 1).crowds.tolist()) == (READ, [False])
        assert data.class_names == ("cat",)
    for problem in data.problems:
        assert problem.file == str(folder / "Annotations" / "b.xml")
        assert problem.line is not None
