from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout


def test_every_path_of_a_sweep(layout):
    assert layout.name == "sweep"
    assert {
        name: getattr(layout, name)
        for name in (
            "spec",
            "journal",
            "lock",
            "reports",
            "trials",
            "checkpoints",
            "tables",
            "figures",
            "report_page",
        )
    } == {
        "spec": "sweep.yaml",
        "journal": "study.journal",
        "lock": "burst.lock",
        "reports": "reports",
        "trials": "trials.parquet",
        "checkpoints": "checkpoints",
        "tables": "tables",
        "figures": "figures",
        "report_page": "report.html",
    }
    assert layout.report_log(3) == "reports/burst-0003.jsonl"
    assert layout.report_table(12345) == "reports/burst-12345.parquet"
    assert layout.table_part("members", "rank-1", 12, 0) == "tables/members/trial=00012/repeat=0/rank-1.parquet"
    assert layout.figure("history", "svg") == "figures/history.svg"


def test_trial_folders_sort_and_name_their_repeat(layout):
    assert layout.trial(12, 0) == "checkpoints/00012"
    assert layout.trial(12, 1) == "checkpoints/00012-r1"
    assert layout.checkpoint(12, 2, 7) == "checkpoints/00012-r2/00000007"
    assert layout.trial(123456, 0) == "checkpoints/123456"


def test_unpublished_checkpoints_are_hidden_on_a_disk(layout, bucket):
    assert layout.unpublished(12, 0, 7) == "checkpoints/00012/.00000007.part"
    assert Layout(bucket).unpublished(12, 0, 7) == Layout(bucket).checkpoint(12, 0, 7)


def test_layouts_of_one_folder_are_equal(tmp_path):
    assert Layout(open_storage(str(tmp_path))) == Layout(open_storage(str(tmp_path)))
