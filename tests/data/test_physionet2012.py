"""PhysioNet 2012: small archives made here, and the real ones where they lie."""

import csv
import gzip
import io
import tarfile
import threading
from collections import defaultdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest
import torch

from helpers.data import physionet2012
from helpers.data.physionet2012 import files as set_files

ADMISSION = (
    "00:00,RecordID,{}\n00:00,Age,60\n00:00,Gender,1\n00:00,Height,-1\n00:00,ICUType,4\n00:00,Weight,70\n"
)
SERIES = {
    11: "00:07,HR,80\n00:07,Temp,36.5\n47:59,HR,82\n48:00,Urine,100\n",
    12: "",
    13: "00:00,Weight,71.5\n00:00,GCS,15\n01:30,MAP,60\n01:30,MAP,70\n01:30,MAP,65.5\n"
    "02:00,Weight,-1\n02:30,K,-1\n02:30,K,4\n",
}
OUTCOMES = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
OUTCOME_ROWS = {11: "11,-1,3,5,-1,0\n", 12: "12,7,-1,9,4,1\n", 13: "13,8,2,-1,30,0\n"}


def stay(record_id, series):
    return "Time,Parameter,Value\n" + ADMISSION.format(record_id) + series


def write_archive(path, files):
    """A tar archive with a folder entry and the files, in their order, as PhysioNet's."""
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo("set-a")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, text in files.items():
            entry = tarfile.TarInfo(f"set-a/{name}.txt")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))


def write_set(folder, set_name="a", files=None, rows=None):
    files = {i: stay(i, SERIES[i]) for i in (13, 11, 12)} if files is None else files
    write_archive(folder / f"set-{set_name}.tar.gz", files)
    outcomes = OUTCOMES + "".join(OUTCOME_ROWS.values()) if rows is None else rows
    (folder / f"Outcomes-{set_name}.txt").write_text(outcomes)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    """An empty cache, and no folder of real data."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LIVING_DYNAMICS_CACHE", str(folder))
    monkeypatch.delenv("LIVING_DYNAMICS_DATA", raising=False)
    return folder


@pytest.fixture
def root(tmp_path):
    write_set(tmp_path)
    return tmp_path


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_stays_are_laid_out_by_record_and_time(root):
    data = physionet2012(root=root)
    hr, temp, urine = (data.variables.index(name) for name in ("HR", "Temp", "Urine"))
    assert data.record_id.tolist() == [11, 12, 13]
    assert data.batch.lengths.tolist() == [3, 0, 3]
    assert data.batch.values.shape == (3, 3, 37) and data.batch.values.dtype == torch.float32
    torch.testing.assert_close(data.batch.times[0], torch.tensor([7 / 60, 47 + 59 / 60, 48.0]))
    observed = {(0, hr): 80.0, (0, temp): 36.5, (1, hr): 82.0, (2, urine): 100.0}
    assert {
        tuple(at): data.batch.values[0, *at].item() for at in data.batch.mask[0].nonzero().tolist()
    } == observed


def test_duplicates_become_their_mean_and_minus_one_is_missing(root):
    data = physionet2012(root=root)
    series = data.batch[2]
    observed = {tuple(at): series.values[0, *at].item() for at in series.mask[0].nonzero().tolist()}
    weight, gcs, arterial, potassium = (data.variables.index(name) for name in ("Weight", "GCS", "MAP", "K"))
    assert observed == {
        (0, gcs): 15,
        (0, weight): 71.5,
        (1, arterial): pytest.approx(65.1667),
        (2, potassium): 4,
    }
    assert series.times[0].tolist() == [0, 1.5, 2.5]


def test_descriptors_and_outcomes_keep_what_is_missing_apart(root):
    data = physionet2012(root=root)
    assert data.descriptor_names == ("Age", "Gender", "Height", "ICUType", "Weight")
    assert data.descriptors.tolist() == [[60, 1, 0, 4, 70]] * 3
    assert data.descriptor_mask.tolist() == [[True, True, False, True, True]] * 3
    assert data.died.tolist() == [False, True, False] and data.died.dtype == torch.bool
    assert (data.saps_i.tolist(), data.sofa.tolist()) == ([-1, 7, 8], [3, -1, 2])
    assert (data.length_of_stay.tolist(), data.survival.tolist()) == ([5, 9, -1], [-1, 4, 30])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"root": 3}, "root must be a path: got int", id="root"),
        pytest.param({"root": ["data"]}, "root must be a path: got list", id="roots"),
        pytest.param({"download": "no"}, "download must be True or False: got 'no'", id="download"),
    ],
)
def test_what_is_no_path_and_no_choice_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        physionet2012("a", **arguments)


def test_several_sets_follow_each_other_as_asked(root):
    write_set(root, "b", {21: stay(21, "00:30,HR,50\n")}, OUTCOMES + "21,1,1,1,-1,0\n")
    data = physionet2012(("b", "a"), root=root)
    assert data.record_id.tolist() == [21, 11, 12, 13]
    assert (data.sets, data.set_index.tolist()) == (("b", "a"), [0, 1, 1, 1])
    alone = physionet2012("a", root=root)
    assert torch.equal(data.batch.values[1:], alone.batch.values)
    assert torch.equal(data.batch.mask[1:], alone.batch.mask)
    assert torch.equal(data.batch.times[1:], alone.batch.times)


def test_a_set_without_any_reading(tmp_path):
    write_set(tmp_path, files={12: stay(12, "")}, rows=OUTCOMES + OUTCOME_ROWS[12])
    data = physionet2012(root=tmp_path)
    assert (data.batch.values.shape, data.batch.lengths.tolist()) == ((1, 0, 37), [0])


def test_rows_out_of_order_are_sorted(tmp_path):
    write_set(tmp_path, files={12: stay(12, "05:00,HR,2\n03:00,HR,1\n")}, rows=OUTCOMES + OUTCOME_ROWS[12])
    assert physionet2012(root=tmp_path).batch.times.tolist() == [[3, 5]]


@pytest.mark.parametrize("sets", [(), ("c",), ("a", "a"), "ac"], ids=str)
def test_unknown_sets(sets):
    with pytest.raises(ValueError, match=r"sets must name one or more of \('a', 'b'\), each once: got \("):
        physionet2012(sets)


BAD_STAYS = [
    ("", r"line 1: expected the header Time,Parameter,Value: got ''"),
    ("Time,Value\n", "line 1: expected the header Time,Parameter,Value: got 'Time,Value'"),
    (stay(11, "00:07,HR\n"), "line 8: expected Time,Parameter,Value: got '00:07,HR'"),
    (stay(11, "00:07,HR,80,1\n"), "line 8: expected Time,Parameter,Value: got '00:07,HR,80,1'"),
    (stay(11, "\n00:07,HR,80\n"), "line 8: expected Time,Parameter,Value: got ''"),
    (stay(11, ",,\n"), "line 8: time '' is not HH:MM between 00:00 and 48:00"),
    (stay(11, "00:07,HR,80\n48:01,HR,80\n"), "line 9: time '48:01' is not HH:MM"),
    (stay(11, "7:00,HR,80\n"), "line 8: time '7:00' is not HH:MM"),
    (stay(11, "00:60,HR,80\n"), "line 8: time '00:60' is not HH:MM"),
    (stay(11, "00:07,Pulse,80\n"), "line 8: unknown parameter 'Pulse'"),
    (stay(11, "00:07,,80\n"), "line 8: unknown parameter ''"),
    (stay(11, "00:07,HR,fast\n"), "line 8: HR has the value 'fast', which is not a finite number"),
    (stay(11, "00:07,HR,\n"), "line 8: HR has the value '', which is not a finite number"),
    (stay(11, "00:07,HR,nan\n"), "line 8: HR has the value 'nan', which is not a finite number"),
    (stay(11, "00:07,HR,8\n00:07,K,inf\n00:07,K,-inf\n"), "line 9: K has the value 'inf'"),
    (stay(11, "00:07,HR,8é\n"), "line 8: HR has the value '8\ufffd+', which is not a finite number"),
    (stay(11, "00:07,Age,60\n"), "line 8: a second Age"),
    (stay(11, "").replace("00:00,Height", "00:01,Height"), r"11.txt: no Height at 00:00"),
    (stay(11, "").replace("00:00,Weight,70\n", ""), r"11.txt: no Weight at 00:00"),
    ("Time,Parameter,Value\n", r"11.txt: no RecordID at 00:00"),
    (stay(11.5, ""), r"line 2: RecordID must be a whole number: got 11.5"),
]


@pytest.mark.parametrize(("text", "message"), BAD_STAYS, ids=[case[-1] for case in BAD_STAYS])
def test_bad_stays_name_file_and_line_and_leave_no_cache(tmp_path, cache_folder, text, message):
    write_set(tmp_path, files={11: text})
    with pytest.raises(ValueError, match=message) as error:
        physionet2012(root=tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'set-a.tar.gz'}, set-a/11.txt")
    assert files_in(cache_folder) == []


BAD_OUTCOMES = [
    ("", "line 1: expected the header RecordID,SAPS-I,.*: got ''"),
    (OUTCOMES + "11,1,1,1,1,0\n12,x,1,1,1,0\n", "line 3: expected whole numbers: got '12,x,1,1,1,0'"),
    (OUTCOMES + "11,1,1,1,0\n", "line 2: expected RecordID,SAPS-I,.*: got '11,1,1,1,0'"),
    (OUTCOMES + "11,1,1,1,1,2\n", "line 2: In-hospital_death must be 0 or 1: got 2"),
    (OUTCOMES + "11,1,1,1,1,0\n11,1,1,1,1,0\n", "line 3: a second row for stay 11"),
    (OUTCOMES + "11,1,1,1,1,0\n99,1,1,1,1,0\n", r"line 3: stay 99 is not in .*set-a\.tar\.gz"),
    (OUTCOMES + OUTCOME_ROWS[11] + OUTCOME_ROWS[13], r" has no row for stay 12 of .*set-a\.tar\.gz"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_OUTCOMES, ids=[case[-1] for case in BAD_OUTCOMES])
def test_bad_outcomes_name_file_and_line_and_leave_no_cache(tmp_path, cache_folder, rows, message):
    write_set(tmp_path, rows=rows)
    with pytest.raises(ValueError, match=rf"Outcomes-a\.txt(, )?{message}"):
        physionet2012(root=tmp_path)
    assert files_in(cache_folder) == []


def test_the_same_stay_twice(tmp_path):
    write_set(tmp_path, files={11: stay(11, ""), 12: stay(11, "")})
    with pytest.raises(ValueError, match=r"set-a\.tar\.gz: stay 11 occurs twice"):
        physionet2012(root=tmp_path)


def test_an_archive_without_stays(tmp_path):
    write_set(tmp_path, files={})
    with pytest.raises(ValueError, match=r"set-a\.tar\.gz holds no stays"):
        physionet2012(root=tmp_path)


def cut_the_gzip(content):
    return content[: len(content) * 2 // 3]


def cut_the_tar(content):
    return gzip.compress(gzip.decompress(content)[:1800])


def flip_a_byte(content):
    return content[:100] + bytes([content[100] ^ 0xFF]) + content[101:]


@pytest.mark.parametrize(
    "damage",
    [cut_the_gzip, cut_the_tar, flip_a_byte, lambda _: b"", lambda _: b"text" * 99],
    ids=["gzip cut", "tar cut", "a byte flipped", "empty", "text"],
)
def test_a_damaged_archive_is_said_to_be_and_leaves_no_cache(root, cache_folder, damage):
    path = root / "set-a.tar.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"set-a\.tar\.gz is truncated or damaged \(.*\): fetch it again"):
        physionet2012(root=root)
    assert files_in(cache_folder) == []


def test_root_without_the_files_does_not_fall_through(tmp_path, root, monkeypatch):
    monkeypatch.setenv("LIVING_DYNAMICS_DATA", str(root))
    empty = tmp_path / "empty"
    with pytest.raises(
        FileNotFoundError, match=rf"root has no set-a\.tar\.gz: looked in {empty} and {empty}/phys"
    ):
        physionet2012(root=empty)
    (root / "Outcomes-a.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"root has no Outcomes-a\.txt"):
        physionet2012(root=root)


@pytest.mark.parametrize("subfolder", [".", "physionet2012"])
def test_files_are_found_through_the_environment(tmp_path, monkeypatch, subfolder):
    folder = tmp_path / subfolder
    folder.mkdir(exist_ok=True)
    write_set(folder)
    monkeypatch.setenv("LIVING_DYNAMICS_DATA", str(tmp_path))
    assert len(physionet2012(download=False)) == 3
    assert len(physionet2012(root=tmp_path)) == 3


def test_nothing_found_and_no_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LIVING_DYNAMICS_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"set-a\.tar\.gz not found: call .* download=True, or save https://"
    ):
        physionet2012(download=False)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """PhysioNet on this machine, with small files whose hashes are known."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            """Keep the test's output clean."""

    folder = tmp_path / "server"
    folder.mkdir()
    write_set(folder)
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    monkeypatch.setattr(set_files, "BASE_URL", f"http://127.0.0.1:{http.server_port}/")
    hashes = {path.name: pooch.file_hash(path) for path in folder.iterdir()}
    monkeypatch.setattr(set_files, "SHA256", hashes)
    yield folder
    http.shutdown()
    http.server_close()


def test_download_once_and_then_from_the_cache(server, cache_folder):
    assert len(physionet2012()) == 3
    (server / "set-a.tar.gz").unlink()
    assert len(physionet2012(download=False)) == 3
    assert [name for name in files_in(cache_folder) if not name.endswith(".npz")] == [
        "Outcomes-a.txt",
        "set-a.tar.gz",
    ]


def test_a_download_with_another_hash_is_refused(server, cache_folder):
    (server / "set-a.tar.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"SHA256 hash of downloaded file \(set-a\.tar\.gz\) does not match"):
        physionet2012()
    assert files_in(cache_folder) == []


def test_a_cached_file_that_is_not_the_original(server, cache_folder):
    physionet2012()
    (cache_folder / "physionet2012" / "Outcomes-a.txt").write_text(OUTCOMES)
    with pytest.raises(
        ValueError, match=r"Outcomes-a\.txt is not the original \(its SHA-256 differs\): delete it"
    ):
        physionet2012(download=False)
    assert len(physionet2012(download=True)) == 3


def test_a_failed_download_says_what_to_do(server):
    (server / "set-a.tar.gz").unlink()
    with pytest.raises(
        ConnectionError, match=r"set-a\.tar\.gz could not be downloaded from http://127.* by hand in"
    ):
        physionet2012()


def test_known_hashes_are_those_of_the_real_files(real_data):
    folder = real_data / "physionet2012"
    assert {name: pooch.file_hash(folder / name) for name in set_files.SHA256} == set_files.SHA256


def test_the_cache_is_used_and_root_stays_as_it_was(root, cache_folder, monkeypatch):
    before = files_in(root)
    first = physionet2012(root=root)
    assert files_in(root) == before
    monkeypatch.setattr(set_files, "parse_set", lambda *files: pytest.fail("parsed again"))
    second = physionet2012(root=root)
    assert torch.equal(first.batch.values, second.batch.values)
    assert torch.equal(first.record_id, second.record_id)


def test_changed_files_are_parsed_anew(root):
    physionet2012(root=root)
    write_set(root, files={12: stay(12, "00:10,HR,1\n")}, rows=OUTCOMES + OUTCOME_ROWS[12])
    assert physionet2012(root=root).record_id.tolist() == [12]


def test_another_parser_version_parses_anew(root, monkeypatch):
    physionet2012(root=root)
    monkeypatch.setattr(set_files, "PARSER_VERSION", -1)
    monkeypatch.setattr(set_files, "parse_set", lambda *files: pytest.fail("parsed again"))
    with pytest.raises(pytest.fail.Exception, match="parsed again"):
        physionet2012(root=root)


def flip_a_middle_byte(content):
    at = content.index(b"descriptors.npy") + 150
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], flip_a_middle_byte, lambda _: b"", lambda _: b"no"],
    ids=["cut", "a byte flipped", "empty", "text"],
)
def test_a_damaged_cache_is_said_to_be_and_made_again(root, cache_folder, damage):
    whole = physionet2012(root=root)
    (kept,) = cache_folder.rglob("*.npz")
    content = kept.read_bytes()
    kept.write_bytes(damage(content))
    with pytest.warns(UserWarning, match=r"\.npz is damaged \(.*\): reading .*set-a\.tar\.gz again"):
        again = physionet2012(root=root)
    assert torch.equal(whole.batch.values, again.batch.values)
    assert len(physionet2012(root=root)) == 3  # and no warning


def test_an_interrupted_write_leaves_no_cache(root, cache_folder, monkeypatch):
    def interrupted(file, **arrays):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(set_files.np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        physionet2012(root=root)
    assert files_in(cache_folder) == []


def test_a_cache_that_cannot_be_written_is_said_to_be(root, cache_folder):
    (cache_folder / "physionet2012").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="cannot keep what was parsed .*: the next load parses again"):
        assert len(physionet2012(root=root)) == 3


@pytest.fixture(scope="module")
def both(real_data, tmp_path_factory):
    """Both real sets, parsed once for this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVING_DYNAMICS_CACHE", str(tmp_path_factory.mktemp("real")))
        return physionet2012(("a", "b"), root=real_data)


def test_real_counts(both):
    in_a, in_b = both.set_index == 0, both.set_index == 1
    assert (in_a.sum().item(), in_b.sum().item()) == (4000, 4000)
    assert (both.died[in_a].sum().item(), both.died[in_b].sum().item()) == (554, 568)
    assert ((both.batch.lengths == 0) & in_a).sum().item() == 3  # stays without any reading
    assert len(both.variables) == len(both.units) == both.batch.values.shape[2] == 37
    assert both.record_id[in_a].diff().min() > 0 < both.record_id[in_b].diff().min()


def read_by_hand(folder, set_name, record_id):
    """Readings of one stay by the csv module: {(minute, parameter): [values]}, and the admission weight."""
    with tarfile.open(folder / f"set-{set_name}.tar.gz") as tar:
        lines = tar.extractfile(f"set-{set_name}/{record_id}.txt").read().decode().splitlines()
    readings, admission_weight = defaultdict(list), None
    for row in csv.DictReader(lines):
        if row["Parameter"] in ("RecordID", "Age", "Gender", "Height", "ICUType"):
            continue
        if row["Parameter"] == "Weight" and row["Time"] == "00:00" and admission_weight is None:
            admission_weight = float(row["Value"])
        elif float(row["Value"]) != -1:
            hours, minutes = row["Time"].split(":")
            readings[60 * int(hours) + int(minutes), row["Parameter"]].append(float(row["Value"]))
    return readings, admission_weight


@pytest.mark.parametrize(
    ("set_name", "record_id"),
    [
        pytest.param("a", 132539, id="the first stay"),
        pytest.param("a", 137747, id="three readings in a minute"),
        pytest.param("a", 140501, id="no reading at all"),
        pytest.param("b", 149509, id="two weights at 00:00"),
        pytest.param("b", 152864, id="the last stay"),
    ],
)
def test_real_stays_agree_with_the_csv_module(both, real_data, set_name, record_id):
    readings, admission_weight = read_by_hand(real_data / "physionet2012", set_name, record_id)
    (index,) = (both.record_id == record_id).nonzero()[0].tolist()
    times, mask, values = both.batch.times[index], both.batch.mask[index], both.batch.values[index]
    ours = {
        (round(times[step].item() * 60), both.variables[variable]): values[step, variable].item()
        for step, variable in mask.nonzero().tolist()
    }
    assert ours == pytest.approx(
        {at: sum(several) / len(several) for at, several in readings.items()}, rel=1e-6
    )
    assert both.batch.lengths[index] == len({minute for minute, _ in readings})
    weight = both.descriptor_names.index("Weight")
    assert both.descriptor_mask[index, weight] == (admission_weight != -1)
    assert both.descriptors[index, weight].item() == pytest.approx(max(admission_weight, 0.0))
