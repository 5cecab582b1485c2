//! Text from outside, made safe for a terminal and cut to cells.
//!
//! Errors, causes, names and file contents are written by strangers. Everything that reaches a cell
//! goes through here, so that no escape sequence, line break or bidirectional override is ever sent
//! to the terminal, and nothing is wider than the cells it was given.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

const ELLIPSIS: &str = "…";

/// More characters a cell than this only come from piled-up combining marks, and are cut.
const CHARS_PER_CELL: usize = 4;

/// What is shown for one character; `None` drops it.
fn symbol(character: char) -> Option<char> {
    match character {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + character as u32),
        '\u{7f}' => Some('\u{2421}'),
        '\u{2028}' | '\u{2029}' => Some('\u{2424}'),
        // C1 controls, direction marks, overrides and isolates, zero-width characters and tags:
        // each can move, hide or reorder what stands around it.
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some('·'),
        // Variation selectors change the width in some terminals only.
        '\u{fe00}'..='\u{fe0f}' => None,
        other => Some(other),
    }
}

/// The text with every character that could steer the terminal replaced by a visible symbol.
pub fn visible(text: &str) -> String {
    text.chars().filter_map(symbol).collect()
}

/// Cells that `text` takes.
pub fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// The visible form of `text` in at most `cells` cells, cut at the end.
pub fn fit(text: &str, cells: usize) -> String {
    let most = cells.saturating_mul(CHARS_PER_CELL).saturating_add(1);
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(most).filter_map(symbol).collect();
    if characters.next().is_none() && width(&shown) <= cells {
        return shown;
    }
    if cells == 0 {
        return String::new();
    }
    head(&shown, cells - 1) + ELLIPSIS
}

/// What is left of visible `text` behind its first `skipped` cells, in at most `cells` cells.
pub fn shifted(text: &str, skipped: usize, cells: usize) -> String {
    if skipped == 0 {
        return fit(text, cells);
    }
    let mut passed = 0;
    let mut graphemes = text.grapheme_indices(true);
    let first = graphemes.find(|(_, grapheme)| {
        let is_behind = passed >= skipped;
        passed += grapheme.width();
        is_behind
    });
    first.map_or_else(String::new, |(at, _)| fit(&text[at..], cells))
}

/// The visible form of `text` in at most `cells` cells, cut in the middle: the tails of names are
/// what differs.
pub fn middle(text: &str, cells: usize) -> String {
    let shown = visible(text);
    if width(&shown) <= cells {
        return shown;
    }
    if cells == 0 {
        return String::new();
    }
    let end = tail(&shown, cells / 2);
    let start = head(&shown, cells - 1 - width(&end));
    start + ELLIPSIS + &end
}

/// `text` (already visible) filled with spaces to `cells`, on the right.
pub fn left(text: &str, cells: usize) -> String {
    let gap = cells.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(gap))
}

/// `text` (already visible) filled with spaces to `cells`, on the left.
pub fn right(text: &str, cells: usize) -> String {
    let gap = cells.saturating_sub(width(text));
    format!("{}{text}", " ".repeat(gap))
}

/// Breaks visible text into lines of at most `cells`, at spaces where there are any, and at most
/// `lines` of them; the last one is cut.
pub fn wrap(text: &str, cells: usize, lines: usize) -> Vec<String> {
    let budget = cells.saturating_mul(lines).saturating_mul(CHARS_PER_CELL);
    let shown: String = text.chars().take(budget).filter_map(symbol).collect();
    let mut wrapped: Vec<String> = Vec::new();
    let mut rest = shown.trim();
    while !rest.is_empty() && cells > 0 && wrapped.len() < lines {
        if wrapped.len() + 1 == lines {
            wrapped.push(fit(rest, cells));
            break;
        }
        let line = line_of(rest, cells);
        rest = rest[line.len()..].trim_start();
        // One grapheme alone may be wider than the room.
        wrapped.push(fit(line.trim_end(), cells));
    }
    wrapped
}

/// The longest start of `text` that fits and ends at a space, or simply fits.
fn line_of(text: &str, cells: usize) -> &str {
    let longest = prefix(text, cells);
    if longest.len() == text.len() || text[longest.len()..].starts_with(' ') {
        return longest;
    }
    match longest.rfind(' ') {
        Some(space) if space > 0 => &longest[..space],
        _ => longest,
    }
}

/// The longest start within `cells`; at least one grapheme, so that loops end.
fn prefix(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme.width();
        if used > cells && at > 0 {
            return &text[..at];
        }
    }
    text
}

fn head(text: &str, cells: usize) -> String {
    let mut used = 0;
    text.graphemes(true)
        .take_while(|grapheme| {
            used += grapheme.width();
            used <= cells
        })
        .collect()
}

fn tail(text: &str, cells: usize) -> String {
    let mut used = 0;
    let kept: Vec<&str> = text
        .graphemes(true)
        .rev()
        .take_while(|grapheme| {
            used += grapheme.width();
            used <= cells
        })
        .collect();
    kept.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_and_overrides_become_symbols() {
        assert_eq!(visible("a\x1b[31mb\r\n"), "a␛[31mb␍␊");
        assert_eq!(visible("x\u{202e}y\u{200d}z\u{9b}"), "x·y·z·");
    }

    #[test]
    fn names_keep_their_tails() {
        let cut = middle("invoices-2026-11-23T1353Z-a91c", 16);
        assert_eq!(cut, "invoice…53Z-a91c");
        assert_eq!(middle("short", 16), "short");
    }

    #[test]
    fn wide_characters_are_never_halved() {
        assert_eq!(fit("日本語テキスト", 6), "日本…");
        assert_eq!(middle("日本語テキスト", 6), "日…ト");
    }

    #[test]
    fn a_shifted_text_begins_at_a_whole_character() {
        assert_eq!(shifted("abcdef", 2, 3), "cd…");
        assert_eq!(shifted("日本語", 1, 9), "本語");
        assert_eq!(shifted("short", 9, 9), "");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(
            wrap("upstream did not answer in time", 12, 3),
            ["upstream did", "not answer", "in time"]
        );
        assert_eq!(wrap("upstream did not answer", 12, 1), ["upstream di…"]);
        assert_eq!(wrap("\u{3190}\u{d4a} a", 2, 3), ["…", "a"]);
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_cells(text in "\\PC*|.*", cells in 0_usize..40) {
            for shown in [fit(&text, cells), middle(&text, cells)] {
                prop_assert!(width(&shown) <= cells);
                prop_assert!(!shown.chars().any(char::is_control));
            }
            for line in wrap(&text, cells.max(2), 4) {
                prop_assert!(width(&line) <= cells.max(2));
            }
        }

        #[test]
        fn what_is_visible_is_stable(text in any::<String>()) {
            let once = visible(&text);
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(visible(&once), once);
        }
    }
}
