//! The chat: what was written, what happened, and the line that is being written.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::action::Command;
use super::layout::layout;
use super::state::Tone;
use super::update::Ui;
use super::view::chat as view;
use crate::signal::message::PeerId;
use crate::text::{MAX_CHARS, SafeText};

/// What can be read again; older is forgotten.
const MAX_ENTRIES: usize = 500;

/// The chat.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    /// It is shown, and takes what is typed.
    pub is_open: bool,
    /// What was written and what happened, the oldest first. Shared with who draws it.
    pub entries: Arc<Vec<Entry>>,
    /// What is being written.
    pub draft: Draft,
    /// Lines that came while the chat was closed.
    pub unread: usize,
    /// Rows between the newest and what is shown lowest.
    pub scroll: usize,
}

/// Something to be read again.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Somebody wrote.
    Wrote {
        /// Who; `None`: this person.
        who: Option<(PeerId, SafeText)>,
        /// What.
        text: SafeText,
    },
    /// Somebody came or went, or something failed.
    Happened(Tone, SafeText),
}

/// A line that is being written, and where in it the next key goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    text: String,
    /// A byte between two graphemes.
    cursor: usize,
}

impl Draft {
    /// What stands before the cursor and after it, safe to show.
    pub fn parts(&self) -> (SafeText, SafeText) {
        let (before, after) = self.text.split_at(self.cursor);
        (SafeText::chat(before), SafeText::chat(after))
    }

    /// There is nothing.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Puts text in at the cursor; of a text that would become too long, the beginning.
    fn insert(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.text.chars().count());
        // Controls are no text; what else is not safe is left out where it is shown or sent.
        let blank = |c: char| if c.is_whitespace() { ' ' } else { c };
        let text: String = text
            .chars()
            .map(blank)
            .filter(|c| !c.is_control())
            .take(room)
            .collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    fn left(&self) -> usize {
        let mut at = GraphemeCursor::new(self.cursor, self.text.len(), true);
        at.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn right(&self) -> usize {
        let mut at = GraphemeCursor::new(self.cursor, self.text.len(), true);
        let next = at.next_boundary(&self.text, 0).ok().flatten();
        next.unwrap_or(self.text.len())
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let mut words = self.text[..self.cursor].unicode_word_indices();
        words.next_back().map_or(0, |(at, _)| at)
    }

    fn delete(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    /// Takes a key; false where it edits nothing.
    fn edit(&mut self, key: KeyEvent) -> bool {
        let (at, end) = (self.cursor, self.text.len());
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = end,
            KeyCode::Char('u') if control => self.delete(0, at),
            KeyCode::Char('k') if control => self.text.truncate(at),
            KeyCode::Char('w') if control => self.delete(self.word(), at),
            KeyCode::Backspace if control || alt => self.delete(self.word(), at),
            KeyCode::Char(c) if !control && !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => self.delete(self.left(), at),
            KeyCode::Delete => self.delete(at, self.right()),
            KeyCode::Left if control || alt => self.cursor = self.word(),
            KeyCode::Left => self.cursor = self.left(),
            KeyCode::Right => self.cursor = self.right(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = end,
            _ => return false,
        }
        true
    }
}

impl Ui {
    pub(super) fn open_chat(&mut self) {
        let chat = &mut self.state.chat;
        (chat.is_open, chat.unread, chat.scroll) = (true, 0, 0);
        self.state.sheet = None;
    }

    /// Takes a key for the open chat; false where it means what it means elsewhere.
    pub(super) fn typed(&mut self, key: KeyEvent, commands: &mut Vec<Command>) -> bool {
        if !self.state.chat.is_open || key.kind == KeyEventKind::Release {
            return false;
        }
        let page = layout(&self.state)
            .chat
            .map_or(1, |area| usize::from(area.height / 2));
        match key.code {
            KeyCode::Char('c' | 'z') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Esc => self.state.chat.is_open = false,
            KeyCode::Enter => self.send(commands),
            KeyCode::Up => self.scroll(1),
            KeyCode::Down => self.scroll(-1),
            KeyCode::PageUp => self.scroll(page as isize),
            KeyCode::PageDown => self.scroll(-(page as isize)),
            _ => return self.state.chat.draft.edit(key),
        }
        true
    }

    pub(super) fn paste(&mut self, text: &str) {
        if self.state.chat.is_open {
            self.state.chat.draft.insert(text.trim_end_matches(['\r', '\n']));
        }
    }

    fn send(&mut self, commands: &mut Vec<Command>) {
        let chat = &mut self.state.chat;
        chat.scroll = 0;
        let text = SafeText::chat(chat.draft.text.trim());
        if text.is_empty() {
            return;
        }
        if self.state.people.is_empty() {
            return self.warn("nobody is there to read it");
        }
        self.state.chat.draft = Draft::default();
        commands.push(Command::Chat(text.clone()));
        self.note(Entry::Wrote { who: None, text });
    }

    /// Somebody wrote: it stands in the chat, and where that is closed it is shown for a moment.
    pub(super) fn heard(&mut self, id: &PeerId, text: SafeText) {
        let Some(person) = self.state.people.iter().find(|p| p.id == *id) else {
            return;
        };
        let name = person.name.clone();
        if !self.state.chat.is_open {
            self.state.chat.unread += 1;
            let said = format!("{name}: {text}");
            self.say(Tone::Info, SafeText::chat(&said));
        }
        let who = Some((id.clone(), name));
        self.note(Entry::Wrote { who, text });
    }

    pub(super) fn note(&mut self, entry: Entry) {
        let entries = Arc::make_mut(&mut self.state.chat.entries);
        if entries.len() >= MAX_ENTRIES {
            entries.remove(0);
        }
        entries.push(entry);
        // Who reads what is older goes on reading it.
        if self.state.chat.scroll > 0
            && let Some(area) = layout(&self.state).chat
        {
            self.state.chat.scroll += view::rows_of_newest(&self.state.chat, area.width);
        }
    }

    fn scroll(&mut self, rows: isize) {
        let most = self.rows().saturating_sub(1);
        let chat = &mut self.state.chat;
        chat.scroll = chat.scroll.saturating_add_signed(rows).min(most);
    }

    /// The rows that all entries take; none while the chat is closed.
    fn rows(&self) -> usize {
        let area = layout(&self.state).chat;
        area.map_or(0, |area| view::rows(&self.state.chat, area.width))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::ui::Action;
    use crate::ui::state::testing::{id, state};
    use crate::units::Cells;

    fn ui(people: usize) -> (Ui, Instant) {
        let state = state(people, Cells::new(80, 24));
        let now = state.now;
        let mut ui = Ui::new(state);
        ui.update(Action::Timeout, now);
        (ui, now)
    }

    fn press(ui: &mut Ui, code: KeyCode) -> Vec<Command> {
        chord(ui, code, KeyModifiers::NONE)
    }

    fn chord(ui: &mut Ui, code: KeyCode, modifiers: KeyModifiers) -> Vec<Command> {
        let now = ui.state.now;
        let mut commands = ui.update(Action::Key(KeyEvent::new(code, modifiers)), now);
        commands.retain(|command| !matches!(command, Command::Viewport(..)));
        commands
    }

    fn write(ui: &mut Ui, text: &str) {
        for c in text.chars() {
            assert_eq!(press(ui, KeyCode::Char(c)), [], "{c} is text");
        }
    }

    fn hear(ui: &mut Ui, text: &str) {
        let now = ui.state.now;
        ui.update(Action::Chat(id(0), SafeText::chat(text)), now);
    }

    fn draft(ui: &Ui) -> (String, String) {
        let (before, after) = ui.state.chat.draft.parts();
        (before.as_str().to_owned(), after.as_str().to_owned())
    }

    #[test]
    fn keys_are_text_while_the_chat_is_open_and_mean_what_they_did_after_it() {
        let (mut ui, _) = ui(1);
        assert_eq!(press(&mut ui, KeyCode::Char('c')), []);
        write(&mut ui, "q m?");
        let said = SafeText::chat("q m?");
        assert_eq!(press(&mut ui, KeyCode::Enter), [Command::Chat(said.clone())]);
        assert_eq!(press(&mut ui, KeyCode::Enter), [], "nothing is left to send");
        assert_eq!(
            ui.state.chat.entries.last(),
            Some(&Entry::Wrote {
                who: None,
                text: said
            })
        );
        press(&mut ui, KeyCode::Esc);
        assert!(!ui.state.chat.is_open);
        assert_eq!(press(&mut ui, KeyCode::Char('m')), [Command::Mic(false)]);
        press(&mut ui, KeyCode::Char('c'));
        let leave = chord(&mut ui, KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(leave, [Command::Leave], "Ctrl-C leaves from everywhere");
    }

    #[test]
    fn what_is_written_can_be_mended() {
        let (mut ui, _) = ui(1);
        press(&mut ui, KeyCode::Char('c'));
        write(&mut ui, "hello wrld");
        press(&mut ui, KeyCode::Left);
        press(&mut ui, KeyCode::Left);
        press(&mut ui, KeyCode::Left);
        write(&mut ui, "o");
        assert_eq!(draft(&ui), ("hello wo".into(), "rld".into()));
        press(&mut ui, KeyCode::Home);
        press(&mut ui, KeyCode::Delete);
        write(&mut ui, "H");
        press(&mut ui, KeyCode::End);
        write(&mut ui, " cafe\u{301}👩‍👩‍👧");
        press(&mut ui, KeyCode::Backspace);
        press(&mut ui, KeyCode::Backspace);
        assert_eq!(draft(&ui).0, "Hello world caf", "a grapheme at a time");
        chord(&mut ui, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(draft(&ui).0, "Hello world ");
        chord(&mut ui, KeyCode::Left, KeyModifiers::CONTROL);
        chord(&mut ui, KeyCode::Char('k'), KeyModifiers::CONTROL);
        assert_eq!(draft(&ui), ("Hello ".into(), String::new()));
        chord(&mut ui, KeyCode::Char('u'), KeyModifiers::CONTROL);
        assert!(ui.state.chat.draft.is_empty());
    }

    #[test]
    fn what_is_pasted_goes_into_the_line_and_sends_nothing() {
        let (mut ui, now) = ui(1);
        let paste = |text: &str| Action::Paste(text.to_owned());
        ui.update(paste("before it is open\r"), now);
        press(&mut ui, KeyCode::Char('c'));
        assert!(ui.state.chat.draft.is_empty());
        let commands = ui.update(paste("two\r\nlines\tand\x1b[2J\u{202e}\r"), now);
        assert!(!commands.iter().any(|c| matches!(c, Command::Chat(_))));
        assert_eq!(draft(&ui).0, "two  lines and[2J");
        ui.update(paste(&"x".repeat(5000)), now);
        let [Command::Chat(text)] = &press(&mut ui, KeyCode::Enter)[..] else {
            panic!("it is sent");
        };
        assert_eq!(
            text.as_str().chars().count(),
            MAX_CHARS - 1,
            "less what is unsafe"
        );
    }

    #[test]
    fn what_comes_while_it_is_closed_is_shown_for_a_moment_and_counted() {
        let (mut ui, now) = ui(1);
        hear(&mut ui, "hi\x1b[31m there");
        let message = ui.state.message.clone().expect("it is shown");
        assert_eq!(message.text.as_str(), "ann: hi[31m there");
        assert_eq!(message.until, now + Duration::from_secs(4));
        hear(&mut ui, "hello?");
        assert_eq!(ui.state.chat.unread, 2);
        press(&mut ui, KeyCode::Char('c'));
        assert_eq!(ui.state.chat.unread, 0);
        ui.update(Action::Timeout, now + Duration::from_secs(5));
        hear(&mut ui, "there you are");
        assert_eq!((ui.state.chat.unread, &ui.state.message), (0, &None));
        assert_eq!(ui.state.chat.entries.len(), 3);
    }

    #[test]
    fn who_came_and_went_can_be_read_again_and_what_a_key_did_cannot() {
        let (mut ui, now) = ui(1);
        ui.update(Action::PeerJoined(id(1), SafeText::name("Bob")), now);
        ui.update(Action::PeerLeft(id(1)), now);
        press(&mut ui, KeyCode::Char('+'));
        let texts: Vec<_> = ui
            .state
            .chat
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Happened(_, text) => text.as_str(),
                Entry::Wrote { .. } => panic!("nobody wrote"),
            })
            .collect();
        assert_eq!(texts, ["Bob joined", "Bob left"]);
    }

    #[test]
    fn who_reads_what_is_older_is_not_carried_away() {
        let (mut ui, _) = ui(1);
        press(&mut ui, KeyCode::Char('c'));
        for number in 0..40 {
            hear(&mut ui, &format!("line {number}"));
        }
        press(&mut ui, KeyCode::PageUp);
        let scroll = ui.state.chat.scroll;
        assert!(scroll > 5, "{scroll}");
        hear(&mut ui, "one more");
        assert_eq!(ui.state.chat.scroll, scroll + 1);
        for _ in 0..1000 {
            press(&mut ui, KeyCode::Up);
        }
        let top = ui.state.chat.scroll;
        assert!((40..=42).contains(&top), "{top}");
        write(&mut ui, "x");
        press(&mut ui, KeyCode::Enter);
        assert_eq!(ui.state.chat.scroll, 0, "what one writes oneself is seen");
    }

    #[test]
    fn the_oldest_is_forgotten_and_a_line_to_nobody_is_kept() {
        let (mut ui, now) = ui(1);
        for _ in 0..MAX_ENTRIES + 10 {
            hear(&mut ui, "more");
        }
        assert_eq!(ui.state.chat.entries.len(), MAX_ENTRIES);
        ui.update(Action::PeerLeft(id(0)), now);
        press(&mut ui, KeyCode::Char('c'));
        write(&mut ui, "anybody?");
        assert_eq!(press(&mut ui, KeyCode::Enter), []);
        assert_eq!(draft(&ui).0, "anybody?");
    }
}
