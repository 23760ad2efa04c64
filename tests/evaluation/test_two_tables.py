"""The cells of the two tables, and when an answer states a new fact."""
from luthier.evaluation.two_tables import as_csv, as_latex, needed, stands_on, states


def test_when_an_answer_states_the_new_value():
    assert states("It costs 233 dollars.", "233", "340", "It costs 233 dollars.")
    assert not states("It costs 340 dollars.", "233", "340", "It costs 233 dollars.")
    assert not states("It was 340 and is 233.", "233", "340", "It costs 233 dollars."), "both is not an answer"
    assert not states("It costs 1233 dollars.", "233", "340", "") and not states("It costs 233.50.", "233", "", "")
    assert states("In 7 days for 10 dollars.", "7", "10", "In 7 days for 10 dollars."), "an old value that the right answer holds for another reason"


def test_what_contestants_stand_on():
    assert [stands_on(name) for name in ("base", "prompt", "few_shot", "rag", "tuned", "tuned_rag", "tfidf", "copy")] == ["", "", "train", "search", "tuned", "search", "train", ""]
    sizes = {"base": 100, "model": 7, "rows": 3, "documents": 2}
    assert needed("tuned_rag", frozen=True, sizes=sizes) == {"files": [["base", 100], ["adapter", 7], ["documents", 2]], "services": ["model", "search"]}
    assert needed("tuned", frozen=False, sizes=sizes) == {"files": [["tuned model", 7]], "services": ["model"]}
    assert needed("few_shot", frozen=False, sizes=sizes)["services"] == ["model", "search"] and needed("majority", frozen=False, sizes=sizes)["services"] == []


def test_cells_with_signs():
    assert as_csv(["a, b", 'c"d'], [["1", "2"]]) == '"a, b","c""d"\n1,2\n'
    assert "50\\% \\& more\\_x" in as_latex(["50% & more_x"], [["1"]])
