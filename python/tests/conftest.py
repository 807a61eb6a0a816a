"""Models trained by the installed program from the tables of fixtures/."""

from __future__ import annotations

from pathlib import Path

import mlapi
import pandas as pd
import pytest
from mlapi._child import run

FIXTURES = Path(__file__).parents[2] / "fixtures"


class Trained:
    def __init__(self, folder: Path, table: str, *arguments: str) -> None:
        self.data = FIXTURES / table
        self.path = str(folder / f"{self.data.stem}.mlapi")
        run(["train", str(self.data), "--output", self.path, "--quiet", *arguments])
        self.frame = pd.read_csv(self.data)

    def expected(self, table: Path | None = None) -> pd.DataFrame:
        """What the command line predicts for a file."""
        arguments = ["predict", "--model", self.path, "--input", str(table or self.data), "--keep", "none", "--quiet"]
        if mlapi.load(self.path).task == "classification":
            arguments.append("--probabilities")
        output = f"{self.path}.csv"
        run([*arguments, "--output", output])
        return pd.read_csv(output)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "iris": Trained(folder, "iris.csv"),
        "penguins": Trained(folder, "penguins.csv", "--target", "species", "--algorithm", "boost"),
        "diabetes": Trained(folder, "diabetes.csv", "--algorithm", "ridge"),
        "cancer": Trained(folder, "breast_cancer.csv", "--algorithm", "logreg"),
        "digits": Trained(folder, "digits.csv", "--algorithm", "forest", "--set", "n_estimators=10"),
    }
