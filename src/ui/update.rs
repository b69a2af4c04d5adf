//! How the state changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::action::{Action, Command};
use super::chat::Entry;
use super::layout::layout;
use super::qr::Qr;
use super::sound::STEP;
use super::state::{Message, Path, Person, Sheet, State, Tone};
use crate::call::control::{VideoId, VideoKind};
use crate::signal::message::PeerId;
use crate::text::SafeText;
use crate::units::Size;

/// How long a message stands: time to read a line; a longer one stands so long for each letter.
const MESSAGE_TIME: Duration = Duration::from_secs(4);
const LETTER_TIME: Duration = Duration::from_millis(60);

/// How long the hint stays after the last word said while muted, so that it does not flicker
/// between words.
const MUTED_TALK_TIME: Duration = Duration::from_secs(2);

/// A terminal that does not tell when a key is let go repeats one that is held, at least so often.
const REPEAT: Duration = Duration::from_millis(120);

/// The steps in which the microphone's level is told apart; a level within the same step changes
/// nothing on the screen.
const LEVEL_STEPS: f32 = 12.0;

/// The interface: owns the [`State`] and changes it.
pub struct Ui {
    pub(super) state: State,
    changed: bool,
    muted_talk_until: Option<Instant>,
    /// The last press of Space, and when it counts as let go if it was held.
    space: Option<Instant>,
    space_until: Option<Instant>,
    /// What was asked for last, of each person.
    pub(super) viewports: BTreeMap<VideoId, Size>,
}

impl Ui {
    /// An interface that begins with `state`.
    pub fn new(state: State) -> Self {
        Self {
            state,
            changed: true,
            muted_talk_until: None,
            space: None,
            space_until: None,
            viewports: BTreeMap::new(),
        }
    }

    /// What is to be drawn.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether something to be seen changed since the last time this was asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What is asked of each picture, in square pixels.
    pub fn viewports(&self) -> impl Iterator<Item = (&VideoId, &Size)> {
        self.viewports.iter()
    }

    /// When [`Action::Timeout`] is due, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        let message = self.state.message.as_ref().map(|m| m.until);
        let now = self.state.now;
        let seconds = self.state.people.iter().filter_map(|person| match person.path {
            Path::Unstable { since } => Some(since + next_second(now.saturating_duration_since(since))),
            _ => None,
        });
        message
            .into_iter()
            .chain(self.muted_talk_until)
            .chain(self.space_until)
            .chain(seconds)
            .min()
    }

    /// Takes in what happened; returns what is to be done about it, in order.
    pub fn update(&mut self, action: Action, now: Instant) -> Vec<Command> {
        self.state.now = now;
        let mut commands = Vec::new();
        self.expire(now, &mut commands);
        self.apply(action, now, &mut commands);
        self.update_viewports(&mut commands);
        commands
    }

    fn apply(&mut self, action: Action, now: Instant, commands: &mut Vec<Command>) {
        let state = &mut self.state;
        let was_changed = std::mem::replace(&mut self.changed, true);
        match action {
            Action::Key(key) => self.key(key, commands),
            Action::Paste(text) => self.paste(&text),
            Action::Resize(cells) => state.terminal = cells,
            Action::Cell(size) => state.cell = size,
            Action::Signaling(signaling) => state.signaling = signaling,
            Action::Invite(invite) => {
                state.qr = Qr::of(&invite.link).map(Arc::new);
                state.invite = invite;
            }
            Action::PeerJoined(id, name) => self.joined(id, name, commands),
            Action::PeerLeft(id) => self.left(&id),
            Action::Path(id, path) => self.with(&id, |person| {
                // One that is sought in place of one that was lost is waited for since then.
                let goes_on = path == Path::Connecting && matches!(person.path, Path::Unstable { .. });
                if !goes_on {
                    person.path = path;
                }
            }),
            Action::PathKind(id, kind) => self.with(&id, |person| {
                if matches!(person.path, Path::Connected { .. }) {
                    person.path = Path::Connected { kind };
                }
            }),
            Action::PeerMute {
                peer,
                mic_on,
                camera_on,
            } => self.with(&peer, |person| {
                (person.mic_on, person.camera_on) = (mic_on, camera_on);
            }),
            Action::Chat(id, text) => self.heard(&id, text),
            Action::PictureSize(video, size) => self.with(&video.peer, |person| match video.kind {
                VideoKind::Camera => person.picture = Some(size),
                VideoKind::Screen => person.screen = Some(size),
            }),
            Action::Screen(id, on) => self.shared(&id, on),
            Action::Talking(id, talking) => self.with(&id, |person| person.talking = talking),
            Action::Stats(id, stats) => self.with(&id, |person| {
                person.stats = stats;
                person.history.push(stats);
            }),
            Action::Level(level, voice) => {
                self.changed = was_changed;
                self.level(level, voice, now);
            }
            Action::Devices { has_mic, has_camera } => {
                (state.me.has_mic, state.me.has_camera) = (has_mic, has_camera);
            }
            Action::Switched { mic_on, camera_on } => {
                (state.me.mic_on, state.me.camera_on) = (mic_on, camera_on);
                state.me.push_to_talk &= mic_on;
            }
            Action::Choices(devices) => self.choices(devices),
            Action::Tell(tone, text) => self.tell(tone, text),
            // What became due was done by `expire`; a second may have passed of what counts them.
            Action::Timeout => {}
        }
    }

    fn key(&mut self, key: KeyEvent, commands: &mut Vec<Command>) {
        if key.kind == KeyEventKind::Release && key.code == KeyCode::Char(' ') {
            return self.release(commands);
        }
        if self.typed(key, commands) || key.kind != KeyEventKind::Press || self.chose(key.code, commands) {
            return;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let code = match key.code {
            KeyCode::Char(c) => KeyCode::Char(c.to_ascii_lowercase()),
            other => other,
        };
        match code {
            KeyCode::Char('c') if control => commands.push(Command::Leave),
            KeyCode::Char('z') if control => commands.push(Command::Suspend),
            _ if control || key.modifiers.contains(KeyModifiers::ALT) => {}
            KeyCode::Char('q') => commands.push(Command::Leave),
            KeyCode::Char('m') => self.switch_mic(false, commands),
            KeyCode::Char(' ') => self.push_to_talk(commands),
            KeyCode::Char('v') => self.switch_camera(commands),
            KeyCode::Char('x') => self.state.mirror = !self.state.mirror,
            KeyCode::Char('s') => self.toggle(Sheet::Figures),
            KeyCode::Char('?') => self.toggle(Sheet::Help),
            KeyCode::Char('c') => self.open_chat(),
            KeyCode::Char('d') => {
                self.toggle(Sheet::Devices);
                if self.state.sheet == Some(Sheet::Devices) {
                    commands.push(Command::ListDevices);
                }
            }
            KeyCode::Char('+' | '=') => self.volume_of_one(STEP, commands),
            KeyCode::Char('-' | '_') => self.volume_of_one(-STEP, commands),
            KeyCode::Char(']') => self.volume_of_all(STEP, commands),
            KeyCode::Char('[') => self.volume_of_all(-STEP, commands),
            KeyCode::Esc => self.state.sheet = None,
            KeyCode::Tab => self.next_in_front(),
            _ => {}
        }
    }

    fn switch_mic(&mut self, for_now: bool, commands: &mut Vec<Command>) {
        let me = &mut self.state.me;
        me.mic_on = !me.mic_on;
        me.push_to_talk = me.mic_on && for_now;
        me.level = 0.0;
        me.muted_talk = false;
        self.muted_talk_until = None;
        commands.push(Command::Mic(me.mic_on));
        // A device that comes back is as it was last asked to be.
        match (me.has_mic, me.mic_on) {
            (true, _) => {}
            (false, true) => self.warn("there is no microphone; one that comes will be heard"),
            (false, false) => self.warn("there is no microphone; one that comes stays muted"),
        }
    }

    /// Space speaks up while muted, and ends what it began; it never mutes who is not muted. One that
    /// comes again and again is held, and speaks until it comes no more.
    fn push_to_talk(&mut self, commands: &mut Vec<Command>) {
        let now = self.state.now;
        let is_held = self.space.replace(now).is_some_and(|at| now < at + REPEAT);
        let me = &self.state.me;
        let switches = if is_held {
            !me.mic_on
        } else {
            !me.mic_on || me.push_to_talk
        };
        if switches {
            self.switch_mic(true, commands);
        }
        if is_held && self.state.me.push_to_talk {
            self.space_until = Some(now + 2 * REPEAT);
        }
    }

    /// Where the terminal tells that Space is let go, it talks for as long as it is held.
    fn release(&mut self, commands: &mut Vec<Command>) {
        if self.state.me.push_to_talk {
            self.switch_mic(true, commands);
        }
    }

    fn switch_camera(&mut self, commands: &mut Vec<Command>) {
        let me = &mut self.state.me;
        me.camera_on = !me.camera_on;
        commands.push(Command::Camera(me.camera_on));
        match (me.has_camera, me.camera_on) {
            (true, _) => {}
            (false, true) => self.warn("there is no camera; one that is found will be seen"),
            (false, false) => self.warn("there is no camera; one that comes stays off"),
        }
    }

    fn toggle(&mut self, sheet: Sheet) {
        let open = self.state.sheet == Some(sheet);
        self.state.sheet = (!open).then_some(sheet);
    }

    fn joined(&mut self, id: PeerId, name: SafeText, commands: &mut Vec<Command>) {
        // Who comes back with the identity of before is the same person: the call goes on.
        if let Some(person) = self.state.people.iter_mut().find(|p| p.id == id) {
            person.name = name;
            return;
        }
        self.tell(Tone::Info, SafeText::new(&format!("{name} joined"), 80));
        self.state.people.push(Person::new(id.clone(), name));
        // Who was turned down and comes back is heard as is shown.
        commands.extend(self.loudness(&id));
    }

    fn left(&mut self, id: &PeerId) {
        let state = &mut self.state;
        let Some(index) = state.people.iter().position(|p| p.id == *id) else {
            return;
        };
        let person = state.people.remove(index);
        let was_in_front = state.front == index;
        if state.front > index || state.front == state.people.len() {
            state.front = state.front.saturating_sub(1);
        }
        if was_in_front {
            self.put_a_screen_in_front();
        }
        self.viewports.retain(|video, _| video.peer != *id);
        self.tell(Tone::Info, SafeText::new(&format!("{} left", person.name), 80));
    }

    fn level(&mut self, level: f32, voice: bool, now: Instant) {
        let me = &mut self.state.me;
        let level = (level.clamp(0.0, 1.0) * LEVEL_STEPS).round() / LEVEL_STEPS;
        let level = if me.mic_on { level } else { 0.0 };
        self.changed |= level != me.level;
        me.level = level;
        if voice && me.has_mic && !me.mic_on {
            self.changed |= !me.muted_talk;
            me.muted_talk = true;
            self.muted_talk_until = Some(now + MUTED_TALK_TIME);
        }
    }

    pub(super) fn warn(&mut self, text: &str) {
        self.say(Tone::Warning, SafeText::new(text, 80));
    }

    /// Says what happened; it can be read again in the chat.
    pub(super) fn tell(&mut self, tone: Tone, text: SafeText) {
        self.note(Entry::Happened(tone, text.clone()));
        self.say(tone, text);
    }

    /// Says something for a moment: what a key did.
    pub(super) fn say(&mut self, tone: Tone, text: SafeText) {
        let letters = u32::try_from(text.as_str().chars().count()).unwrap_or(u32::MAX);
        let until = self.state.now + MESSAGE_TIME.max(LETTER_TIME * letters);
        self.state.message = Some(Message { text, tone, until });
    }

    fn expire(&mut self, now: Instant, commands: &mut Vec<Command>) {
        if self.space_until.take_if(|until| *until <= now).is_some() {
            self.release(commands);
            self.changed = true;
        }
        if self.state.message.as_ref().is_some_and(|m| m.until <= now) {
            self.state.message = None;
            self.changed = true;
        }
        if self.muted_talk_until.is_some_and(|until| until <= now) {
            self.muted_talk_until = None;
            self.state.me.muted_talk = false;
            self.changed = true;
        }
    }

    pub(super) fn with(&mut self, id: &PeerId, change: impl FnOnce(&mut Person)) {
        if let Some(person) = self.state.people.iter_mut().find(|p| p.id == *id) {
            change(person);
        }
    }

    /// Asks of each picture for what its tile shows, where that is not what was asked for last.
    fn update_viewports(&mut self, commands: &mut Vec<Command>) {
        let layout = layout(&self.state);
        for (who, kind) in self.state.videos() {
            let mut tiles = layout.tiles.iter();
            let tile = tiles.find(|tile| (tile.who, tile.kind) == (who, kind));
            let size = tile.map(|tile| tile.pixels(self.state.cell)).unwrap_or_default();
            let video = VideoId::new(self.state.people[who].id.clone(), kind);
            if self.viewports.get(&video) != Some(&size) {
                self.viewports.insert(video.clone(), size);
                commands.push(Command::Viewport(video, size));
            }
        }
    }
}

/// The first whole second after `passed`.
fn next_second(passed: Duration) -> Duration {
    Duration::from_secs(passed.as_secs() + 1)
}

#[cfg(test)]
mod tests;
