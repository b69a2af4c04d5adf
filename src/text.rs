//! [`SafeText`]: the only way from bytes off the network to the screen or a log.
//!
//! Somebody else's name, chat line or error text may carry escape sequences (a forged title, a
//! clipboard write, answers typed into the reader's shell), bidirectional overrides that make a
//! line read as another, invisible characters, and towers of combining marks. All of that ends
//! here, where text is read, and so no sink needs to think of it again.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The widest name, in terminal columns: what a name tag can show.
pub const NAME_COLS: usize = 32;

/// The longest text of any kind, in characters (and in columns).
pub const MAX_CHARS: usize = 2000;

/// Text that cannot harm a terminal: one line, no control characters, no bidirectional or
/// zero-width trickery, at most three combining marks on a base. Reading one with serde makes it
/// safe as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct SafeText(String);

impl SafeText {
    /// Makes `text` safe and cuts it to `max_cols` terminal columns between two graphemes.
    /// Line ends and tabs become spaces; what is not safe is left out.
    pub fn new(text: &str, max_cols: usize) -> Self {
        Self(cut(clean(text), max_cols))
    }

    /// A person's name: at most [`NAME_COLS`] columns, no blank at either end, and never empty
    /// (`somebody`).
    pub fn name(text: &str) -> Self {
        let clean = clean(text);
        // A mark that lay on a blank goes with it: it would lie on whatever stands before the name.
        let begins = clean.trim_start_matches(|c: char| c.is_whitespace() || c.width() == Some(0));
        let mut name = cut(begins.trim_end().to_owned(), NAME_COLS);
        name.truncate(name.trim_end().len());
        if width(&name) == 0 {
            Self("somebody".to_owned())
        } else {
            Self(name)
        }
    }

    /// A line of chat: at most [`MAX_CHARS`] characters.
    pub fn chat(text: &str) -> Self {
        Self::new(text, MAX_CHARS)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Terminal columns that it takes, counted a grapheme at a time, as ratatui does.
    pub fn width(&self) -> usize {
        width(&self.0)
    }

    /// Nothing is to be seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a [`SafeText`] that is a name (`#[serde(deserialize_with = "text::read_name")]`).
pub fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SafeText, D::Error> {
    String::deserialize(deserializer).map(|text| SafeText::name(&text))
}

impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::chat(&text)
    }
}

impl From<&str> for SafeText {
    fn from(text: &str) -> Self {
        Self::chat(text)
    }
}

impl AsRef<str> for SafeText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Marks on one base: Vietnamese, Hebrew with points and a decomposed Hangul syllable need two or
/// three; a tower needs dozens.
const MAX_MARKS: usize = 3;

/// Joiners in one emoji: the longest in Unicode's list (a kiss, a family of four) have three.
const MAX_JOINERS: usize = 3;

fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4 * MAX_CHARS));
    // What is known of the grapheme being written.
    let (mut base, mut marks, mut joiners, mut joining) = (None, 0, 0, false);
    for c in text.chars().map(blank).filter(|&c| !is_unsafe(c)).take(MAX_CHARS) {
        if c == ZERO_WIDTH_JOINER {
            joining = base.is_some_and(is_pictograph) && joiners < MAX_JOINERS;
            continue;
        }
        if c.width() == Some(0) {
            // A mark without a base would lie on whatever stands before this text.
            if base.is_some() && marks < MAX_MARKS {
                marks += 1;
                joining = false;
                out.push(c);
            }
            continue;
        }
        if joining && is_pictograph(c) {
            joiners += 1;
            out.push(ZERO_WIDTH_JOINER);
        } else if !is_skin_tone(c) {
            joiners = 0;
        }
        if !(is_skin_tone(c) && base.is_some_and(is_pictograph)) {
            base = Some(c);
        }
        (marks, joining) = (0, false);
        out.push(c);
    }
    out
}

fn cut(mut text: String, max_cols: usize) -> String {
    let mut cols = 0;
    let end = text.grapheme_indices(true).find_map(|(at, grapheme)| {
        cols += grapheme.width();
        (cols > max_cols).then_some(at)
    });
    if let Some(end) = end {
        text.truncate(end);
        // What it joined may be gone.
        text.truncate(text.trim_end_matches(ZERO_WIDTH_JOINER).len());
    }
    text
}

fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// Line ends, tabs and separators part words; as spaces they still do.
fn blank(c: char) -> char {
    match c {
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        c => c,
    }
}

/// Controls, and format characters that reorder, hide or tag text. The zero-width joiner is dealt
/// with by the caller.
fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'   // C0, DEL, C1
        | '\u{ad}'                              // soft hyphen
        | '\u{61c}'                             // Arabic letter mark
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers: a name that is not there
        | '\u{17b4}' | '\u{17b5}'               // invisible Khmer vowels
        | '\u{180e}'                            // Mongolian vowel separator
        | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' // zero width, direction marks
        | '\u{2028}'..='\u{202e}'               // separators, bidirectional embedding and override
        | '\u{2060}'..='\u{206f}'               // invisible operators, isolates
        | '\u{feff}'                            // byte order mark
        | '\u{fff0}'..='\u{fffb}'               // interlinear annotation and unassigned specials
        | '\u{1bca0}'..='\u{1bca3}'             // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}'             // musical format controls
        | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' // tags, unassigned ignorables
    )
}

/// The blocks that hold the emoji which are joined to others.
fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Straight from the list of what attackers use, not from the code above.
    fn harmful(c: char) -> bool {
        let n = u32::from(c);
        c.is_control()
            || [0xad, 0x61c, 0x180e, 0xfeff].contains(&n)
            || (0x200b..=0x200f).contains(&n)
            || (0x2028..=0x202e).contains(&n)
            || (0x2060..=0x206f).contains(&n)
            || (0xfff9..=0xfffb).contains(&n)
            || (0xe0000..=0xe007f).contains(&n)
    }

    #[test]
    fn no_character_that_harms_survives_anywhere() {
        for c in '\0'..=char::MAX {
            for text in [
                format!("{c}"),
                format!("a{c}b"),
                format!("👩{c}b"),
                format!("e\u{301}{c}"),
            ] {
                let safe = SafeText::new(&text, 100);
                assert!(
                    !safe.as_str().chars().any(harmful),
                    "{:x} in {text:?}",
                    u32::from(c)
                );
            }
        }
    }

    #[test]
    fn escape_sequences_become_plain_letters() {
        assert_eq!(
            SafeText::chat("a\x1b[31mb\x1b]52;c;eA==\x07").as_str(),
            "a[31mb]52;c;eA=="
        );
        assert_eq!(SafeText::chat("a\u{9b}31mb\u{9d}0;t\u{9c}").as_str(), "a31mb0;t");
        assert_eq!(SafeText::chat("one\r\ntwo\tthree").as_str(), "one  two three");
        assert_eq!(SafeText::chat("\u{202e}gnp.exe").as_str(), "gnp.exe");
    }

    #[test]
    fn ordinary_writing_stays_as_it_is() {
        for text in [
            "Ann",
            "naïve",
            "cafe\u{301}",
            "Tiếng Việt",
            "日本語",
            "한국어",
            "עברית",
            "नमस्ते",
            "ไทย",
            "👍🏽",
            "👩‍💻",
            "👩🏻‍❤️‍💋‍👩🏽",
            "👨‍👩‍👧‍👦",
            "🏳️‍🌈",
            "🇩🇪",
            "1️⃣",
            "❤️",
        ] {
            assert_eq!(SafeText::chat(text).as_str(), text);
        }
    }

    #[test]
    fn joiners_stay_only_between_emoji() {
        assert_eq!(SafeText::chat("a\u{200d}b").as_str(), "ab");
        assert_eq!(SafeText::chat("👩\u{200d}").as_str(), "👩");
        assert_eq!(SafeText::chat("👩\u{200d}x").as_str(), "👩x");
        assert_eq!(SafeText::new("🇩\u{200d}👩", 1).as_str(), "🇩", "cut off");
        let chain = ["👩"; 50].join("\u{200d}");
        assert!(
            SafeText::chat(&chain).width() >= 2 * 50 / 4,
            "an endless chain would count as one emoji"
        );
    }

    #[test]
    fn a_base_bears_three_marks() {
        let tower = format!("Z{}", "\u{301}".repeat(500));
        assert_eq!(SafeText::chat(&tower).as_str().chars().count(), 4);
        assert_eq!(
            SafeText::chat("\u{301}\u{302}a").as_str(),
            "a",
            "a mark without a base"
        );
        assert_eq!(SafeText::chat(&"\u{fe0f}".repeat(9)).as_str(), "");
    }

    #[test]
    fn a_name_is_short_trimmed_and_never_empty() {
        assert_eq!(SafeText::name("  Ann \n").as_str(), "Ann");
        for nothing in ["", " \t", "\u{200b}\u{3164}", "\u{301}", "\u{1b}\u{9b}"] {
            assert_eq!(SafeText::name(nothing).as_str(), "somebody");
        }
        assert_eq!(SafeText::name(&"字".repeat(40)).width(), NAME_COLS);
        assert_eq!(
            SafeText::name(&format!("{}字", "a".repeat(31))).width(),
            31,
            "never half a character"
        );
        assert_eq!(
            SafeText::name(&format!("{} b", "a".repeat(31))).as_str(),
            "a".repeat(31)
        );
    }

    #[test]
    fn reading_makes_safe() {
        let text: SafeText = serde_json::from_str(r#""a\u001b[2Jb""#).unwrap();
        assert_eq!(text.as_str(), "a[2Jb");
        let long = serde_json::to_string(&"x".repeat(9000)).unwrap();
        assert_eq!(
            serde_json::from_str::<SafeText>(&long).unwrap().width(),
            MAX_CHARS
        );
    }

    #[test]
    fn a_mark_on_a_blank_before_a_name_is_gone_with_the_blank() {
        assert_eq!(SafeText::name(" \u{dd6} \u{c8e}").as_str(), "\u{c8e}");
    }

    proptest! {
        #[test]
        fn a_name_stays_what_it_is(text in any::<String>()) {
            let name = SafeText::name(&text);
            prop_assert_eq!(SafeText::name(name.as_str()), name);
        }

        #[test]
        fn any_text_becomes_safe_and_stays_so(text in any::<String>(), cols in 0usize..80) {
            let safe = SafeText::new(&text, cols);
            prop_assert!(safe.width() <= cols);
            let joined = safe.as_str().replace(ZERO_WIDTH_JOINER, "");
            prop_assert!(!joined.chars().any(harmful));
            prop_assert_eq!(&SafeText::new(safe.as_str(), cols), &safe);
            let name = SafeText::name(&text);
            prop_assert!((1..=NAME_COLS).contains(&name.width()));
            prop_assert_eq!(SafeText::name(name.as_str()), name);
        }

        #[test]
        fn mixtures_of_what_is_special_are_no_exception(
            parts in proptest::collection::vec(prop::sample::select(vec![
                "a", " ", "字", "👩", "❤", "\u{200d}", "\u{fe0f}", "\u{301}", "\u{1f3fd}", "\u{1b}", "\u{202e}",
                "\u{e0067}", "\u{1f1e9}", "\u{20e3}", "\n",
            ]), 0..40),
            cols in 0usize..40,
        ) {
            let safe = SafeText::new(&parts.concat(), cols);
            prop_assert!(safe.width() <= cols);
            prop_assert_eq!(&SafeText::new(safe.as_str(), cols), &safe);
        }
    }
}
