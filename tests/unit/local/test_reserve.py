"""Room that is kept for new processes, on a file system of 1 MiB."""

from __future__ import annotations

from pathlib import Path

from services.local.reserve import Reserve

SIZE = 2**20


def test_a_full_file_system_gets_its_reserve_and_takes_it_back_when_there_is_room(small_disk: Path):
    said: list[str] = []
    reserve, file, others = Reserve(small_disk, said.append), small_disk / "reserve", small_disk / "others"
    reserve.watch()
    assert file.stat().st_blocks * 512 >= SIZE / 8

    others.write_bytes(bytes(SIZE - SIZE // 8))
    reserve.watch()
    assert not file.exists()
    assert len(said) == 1 and "full" in said[0]
    (small_disk / "log").write_bytes(bytes(SIZE // 16))

    reserve.watch()
    assert not file.exists(), "it is not taken back from those who need it"
    others.unlink()
    reserve.watch()
    assert file.exists()


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    reserve = Reserve(folder, print)
    folder.rmdir()
    reserve.watch()
