"""The page in a real browser: what each tab is for, on drawn faces, and nothing from outside."""

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.studio.conftest import SCREENSHOTS, Studio, Visit

Visits = Callable[..., Visit]
Picture = Callable[[Visit, str], None]
TABS = {
    "Recognise": "Choose photos of faces, or take drawn ones.",
    "Eyeglasses": "discriminator score",
    "Attack": "Begin an attack",
    "Physical": "Upload photos of somebody who wears the marked frame.",
    "Campaigns": "Choose a campaign to read its report.",
}
"""What each shows at first."""

EPOCHS = "2" if SCREENSHOTS in os.environ else "1"
"""Five steps each; for the documentation so many that there is something to see."""


@pytest.fixture
def portrait_file(tmp_path: Path, astronaut: Any) -> Path:
    """A raw photo, in which a face has to be found."""
    from agns.images import write_image

    path = tmp_path / "portrait.png"
    write_image(path, astronaut)
    return path


def test_the_page_says_what_it_is_and_all_of_it_has_names_to_read(visit: Visits) -> None:
    seen = visit()
    seen.see("How far can eyeglasses fool a face recogniser")
    seen.see("It knows 10 people, Synthetic 000")
    for tab, words in TABS.items():
        seen.open(tab)
        seen.see(words)
        if tab == "Attack":
            seen.page.get_by_text("Settings of agn").click()
            seen.page.get_by_label("kappa").first.wait_for()
        nameless = seen.page.evaluate(
            """() => [...document.querySelectorAll('input, textarea, select, button, img')]
            .filter(one => one.checkVisibility() && !one.labels?.length && !one.ariaLabel
              && !one.title && !one.alt && !one.innerText.trim()
              && !one.getAttribute('aria-labelledby') && !one.closest('[aria-hidden=true]'))
            .map(one => one.outerHTML.slice(0, 200))"""
        )
        assert nameless == [], tab


@pytest.mark.parametrize("dark", [False, True])
def test_a_telephone_shows_each_tab_in_its_width(visit: Visits, dark: bool, tmp_path: Path) -> None:
    seen = visit(width=390, dark=dark)
    for tab, words in TABS.items():
        seen.open(tab)
        seen.see(words)
        wide = seen.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, tab
        # To be looked at by whoever changes what the page looks like.
        seen.page.screenshot(path=tmp_path / f"{tab}.png", full_page=True)
    assert seen.page.evaluate("document.body.classList.contains('dark')") == dark


def test_drawn_faces_and_a_raw_photo_are_recognised(
    visit: Visits, picture: Picture, portrait_file: Path
) -> None:
    seen = visit()
    seen.open("Recognise")
    seen.upload("recognise-photos", portrait_file)
    seen.see("portrait.png, aligned, with its 68 landmarks")
    seen.page.get_by_role("button", name="Take three drawn faces").click()
    seen.see("Synthetic 007, drawn, aligned")
    seen.page.get_by_label("Show where it looks").check()
    seen.see("Where the recogniser looks for Synthetic 007")
    first = seen.page.locator("#recognise-view .marked span").all_inner_texts()
    assert first == ["Synthetic 000", "Synthetic 003", "Synthetic 007"]
    picture(seen, "recognise")


def test_eyeglasses_are_drawn_moved_and_tried_on(visit: Visits, picture: Picture) -> None:
    seen = visit()
    seen.open("Eyeglasses")
    seen.page.get_by_alt_text("Real frame 16").wait_for()
    seen.see("discriminator score", "#eyeglasses-view")
    wearing = seen.page.get_by_alt_text("The same face wearing the frame")
    before = wearing.get_attribute("src")
    seen.page.get_by_label("number input for Direction 1").fill("1.5")
    seen.page.get_by_label("number input for Direction 1").press("Tab")
    seen.page.wait_for_function(
        "was => document.querySelector('img[alt^=\"The same face wearing\"]').src != was",
        arg=before,
    )
    picture(seen, "eyeglasses")


def test_an_attack_is_seen_at_work_and_leaves_what_it_was_worth(
    visit: Visits, picture: Picture, tmp_path: Path
) -> None:
    seen = visit()
    seen.open("Attack")
    seen.page.get_by_text("Settings of agn").click()
    epochs = seen.page.get_by_label("epochs")
    epochs.wait_for()
    seen.see("Passes over the real eyeglasses after which the attack gives up.")
    epochs.fill(EPOCHS)
    seen.page.get_by_label("kappa").first.fill("0.2")
    seen.page.get_by_text("Settings of agn").click()
    seen.page.get_by_label("Craft photos").fill("3")
    seen.page.get_by_role("button", name="Start").click()
    seen.see("What the recogniser was shown last", "#attack-view")
    if SCREENSHOTS in os.environ:
        at_work = seen.page.locator("#attack-view").get_by_text(re.compile(r"step [5-9] of 10"))
        at_work.wait_for()
        picture(seen, "attack-live")
    seen.see("held-out photos (95 % interval", "#attack-view")
    told = seen.page.locator("#attack-view").inner_text()
    for words in ("held out, benign", "Only 3 held-out photos", "looks like eyeglasses?"):
        assert words in told
    command = seen.page.locator("#attack-view .command").inner_text()
    assert "agns attack dodge --subject Synthetic_000 --method agn" in command
    assert "--craft 3 --kappa 0.2" in command
    with seen.page.expect_download() as download:
        seen.page.get_by_role("link", name="Download the run").click()
    download.value.save_as(tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {"result/result.json", "result/frame.png", "command.txt", "request.json"} <= names
    picture(seen, "attack")


def test_what_an_attack_refuses_is_one_sentence_beside_its_form(visit: Visits) -> None:
    seen = visit()
    seen.open("Attack")
    seen.page.get_by_label("Stop value").fill("2")
    seen.page.get_by_role("button", name="Start").click()
    seen.see("A stop value must lie in (0, 1), got 2.0.", "#attack-view-refused [role=alert]")
    seen.page.get_by_label("Stop value").fill("")
    seen.page.get_by_text("Settings of agn").click()
    seen.page.get_by_label("saturation margin").fill("7")
    seen.page.get_by_role("button", name="Start").click()
    seen.see("saturation_margin must lie in [0, 0.5), got 7", "#attack-view-refused [role=alert]")


def test_marks_are_found_moved_and_a_frame_is_laid_over_them(
    visit: Visits, picture: Picture, tmp_path: Path
) -> None:
    seen = visit()
    seen.open("Physical")
    seen.press("Take four drawn photos", "The photo; marks found")
    picture(seen, "physical")
    x = seen.page.get_by_label("x", exact=True)
    seen.page.wait_for_function("() => document.querySelector('input[aria-label=x]').value != '0'")
    found = float(x.input_value())
    x.fill(str(found + 2))
    x.press("Enter")
    seen.see("The photo; marks put by hand")
    seen.page.get_by_text("Print a frame").click()
    seen.page.get_by_role("button", name="Make the sheet").click()
    with seen.page.expect_download() as sheet:
        seen.page.locator("#physical-sheet a[download]").click()
    assert Path(sheet.value.path()).read_bytes().startswith(b"%PDF")
    seen.page.get_by_text("Attack on these photos").click()
    seen.pick("Who it is", "Synthetic_001")
    seen.page.get_by_role("button", name="Attack", exact=True).click()
    seen.see("held-out photos (95 % interval", "#physical-run")
    assert "held out, marked frame" in seen.page.locator("#physical-run").inner_text()


def test_campaigns_are_read_and_compared(visit: Visits) -> None:
    seen = visit()
    seen.open("Campaigns")
    seen.see("Choose a campaign to read its report.")
    seen.pick("Campaign", "before")
    report = seen.page.frame_locator("iframe[title='The report of before']")
    report.get_by_text("What weakens these numbers").wait_for()
    seen.pick("A later one, to compare", "after")
    seen.see("before and then after")
    told = seen.page.locator("#campaigns-view table").first.inner_text()
    assert "20.0%" in told
    assert "90.0%" in told
    assert "worse" in told


def test_two_pages_at_once_keep_apart_and_closed_ones_are_found_again(
    visit: Visits, studio: Studio
) -> None:
    pages, third = [visit(), visit()], visit()
    third.open("Attack")
    for seen, subject in zip(pages, ("Synthetic_000", "Synthetic_001"), strict=True):
        seen.open("Attack")
        seen.page.get_by_text("Settings of agn").wait_for()
        seen.pick("Subject", subject)
        seen.pick("Method", "solid")
        seen.page.get_by_text("Settings of solid").click()
        seen.page.get_by_label("count").fill("4")
        seen.page.get_by_label("Craft photos").fill("2")
    for seen in pages:
        seen.page.get_by_role("button", name="Start").click()
    for seen, words in zip(pages, ("Synthetic 000 dodges", "Synthetic 001 dodges"), strict=True):
        seen.see(words, "#attack-view h2")
    third.page.get_by_role("button", name="Start").click()
    third.see("2 attacks are running: wait until one ends, or stop one.", "#attack-view-refused")
    pages[0].page.wait_for_url("**/?run=attack-*")
    name = pages[0].page.url.partition("?")[2]
    pages[0].page.close()
    pages[1].see("held-out photos (95 % interval", "#attack-view")
    assert "Synthetic_001 dodges" in pages[1].page.locator("#attack-view").inner_text()
    again = visit(f"?{name}")
    again.open("Attack")
    again.see("Synthetic_000 dodges", "#attack-view .verdict")


def test_an_attack_can_be_stopped(visit: Visits) -> None:
    seen = visit()
    seen.open("Attack")
    seen.page.get_by_text("Settings of agn").click()
    seen.page.get_by_label("epochs").fill("500")
    seen.page.get_by_role("button", name="Start").click()
    seen.see("step 2", "#attack-view")
    seen.page.get_by_role("button", name="Stop").click()
    seen.see("The attack was interrupted after", "#attack-view")
