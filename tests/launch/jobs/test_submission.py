from raybayes.cli.main import main


def test_without_a_cluster(capsys, monkeypatch):
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert main(["submit", "--", "resume", "runs/a"]) == 3
    assert "use --cluster FILE, or set RAY_API_SERVER_ADDRESS" in capsys.readouterr().err
