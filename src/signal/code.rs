//! Codes that name a private room and can be said over the telephone: `7-crossover-clockwork`.
//!
//! A code is the room's name. It has a number from 1 to 99 and two of 1,024 words: 26.6 bits, drawn
//! by the operating system. That many are found by guessing only where guesses cost nothing, so the
//! server counts them ([`super::limits`]).
//!
//! No two of the words differ by one letter only, by two that changed places, or by an ending: what
//! was heard or typed wrong is none of them, and the one that was meant is told.

use std::fmt;

use thiserror::Error;

/// The words, sorted, one a line.
const WORDS: &str = include_str!("words.txt");

/// The largest number.
const NUMBERS: u64 = 99;

/// A code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code {
    number: u8,
    words: [&'static str; 2],
}

/// Why a text is no code. The texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodeError {
    /// Not a number and two words.
    #[error("a code is a number and two words, such as 7-crossover-clockwork")]
    Form,
    /// Another number.
    #[error("the number of a code goes from 1 to 99, and {0} does not")]
    Number(String),
    /// Not a word of codes, and the nearest one that is.
    #[error("{0:?} is not a word of codes; is {1:?} meant?")]
    Word(String, &'static str),
}

impl Code {
    /// A new one.
    pub fn random() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the operating system has random numbers");
        Self::of(u64::from_le_bytes(bytes))
    }

    /// Reads a code, however its letters are written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let text = text.trim().to_ascii_lowercase();
        let mut parts = text.split('-');
        let (Some(number), Some(first), Some(second), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CodeError::Form);
        };
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        if !(is_number && is_word(first) && is_word(second)) {
            return Err(CodeError::Form);
        }
        let in_range = |n: &u8| (1..=NUMBERS).contains(&u64::from(*n));
        let number = number
            .parse()
            .ok()
            .filter(in_range)
            .ok_or_else(|| CodeError::Number(number.to_owned()))?;
        Ok(Self {
            number,
            words: [known(first)?, known(second)?],
        })
    }

    /// The code that this room's name is, where it is one.
    pub fn of_room(room: &str) -> Option<Self> {
        Self::parse(room).ok().filter(|code| code.to_string() == room)
    }

    fn of(random: u64) -> Self {
        let words: Vec<_> = words().collect();
        let word = |shift: u32| words[(random >> shift) as usize % words.len()];
        // The upper half, of which 99 leaves next to no rest.
        let number = 1 + (random >> 32) % NUMBERS;
        Self {
            number: u8::try_from(number).expect("99 at most"),
            words: [word(0), word(16)],
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.words;
        write!(f, "{}-{first}-{second}", self.number)
    }
}

fn words() -> impl Iterator<Item = &'static str> {
    WORDS.lines()
}

/// The word, or the one that is nearest to it.
fn known(word: &str) -> Result<&'static str, CodeError> {
    let nearest = words()
        .min_by_key(|known| distance(known, word))
        .expect("there are words");
    if nearest == word {
        Ok(nearest)
    } else {
        Err(CodeError::Word(word.chars().take(40).collect(), nearest))
    }
}

/// Letters to be put in, taken out, changed or swapped with their neighbour until one is the other
/// (Damerau and Levenshtein; restricted).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), &b.as_bytes()[..b.len().min(40)]);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::message::is_room_name;
    use super::*;

    #[test]
    fn the_words_cannot_be_mistaken_for_each_other() {
        let all: Vec<_> = words().collect();
        assert_eq!(all.len(), 1024);
        for (at, word) in all.iter().enumerate() {
            assert!(
                (4..=9).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()),
                "{word}"
            );
            for other in &all[at + 1..] {
                assert!(word < other, "{word} and {other} are not in order");
                assert!(
                    distance(word, other) > 1 && !other.starts_with(word),
                    "{word} and {other} are too much alike"
                );
            }
        }
    }

    #[test]
    fn what_is_typed_is_read_and_what_is_wrong_is_told() {
        let code = Code::parse(" 7-Crossover-CLOCKWORK ").unwrap();
        assert_eq!(code.to_string(), "7-crossover-clockwork");
        assert_eq!(Code::of_room("7-crossover-clockwork"), Some(code));
        for room in ["7-Crossover-clockwork", "07-crossover-clockwork", "lobby"] {
            assert_eq!(Code::of_room(room), None, "{room} is another room");
        }
        for form in [
            "",
            "7",
            "lobby",
            "7-crossover",
            "crossover-clockwork",
            "7-crossover-",
            "7--clockwork",
            "-7-crossover-clockwork",
            "7-crossover-clockwork-apple",
            "x-crossover-clockwork",
            "+7-crossover-clockwork",
            "7 crossover clockwork",
        ] {
            assert_eq!(Code::parse(form), Err(CodeError::Form), "{form}");
        }
        for number in ["0", "100", "4294967303"] {
            let wrong = Code::parse(&format!("{number}-crossover-clockwork"));
            assert_eq!(wrong, Err(CodeError::Number(number.into())));
        }
        for (typed, meant) in [
            ("crosover", "crossover"),
            ("corssover", "crossover"),
            ("krossover", "crossover"),
            ("crossovers", "crossover"),
        ] {
            let wrong = Code::parse(&format!("7-{typed}-clockwork"));
            assert_eq!(wrong, Err(CodeError::Word(typed.into(), meant)));
        }
    }

    #[test]
    fn random_ones_differ_and_use_all_there_is() {
        let codes: HashSet<_> = (0..2000).map(|_| Code::random()).collect();
        assert!(codes.len() > 1990);
        let numbers: HashSet<_> = codes.iter().map(|code| code.number).collect();
        assert_eq!(numbers.len(), 99);
        let words: HashSet<_> = codes.iter().flat_map(|code| code.words).collect();
        assert!(words.len() > 900, "only {} words", words.len());
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_read_and_names_a_room(random: u64) {
            let code = Code::of(random);
            let text = code.to_string();
            prop_assert!(is_room_name(&text));
            prop_assert_eq!(Code::parse(&text), Ok(code));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = Code::parse(&text);
        }
    }
}
