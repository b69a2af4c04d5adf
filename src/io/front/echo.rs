//! The built-in peer: it greets with the test picture and a tone, then returns the picture that it
//! gets, and repeats what it hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Happening, Want};
use crate::call::Event;
use crate::call::control::VideoKind;
use crate::io::clock;
use crate::io::decode::Show;
use crate::io::slot::Slot;
use crate::media::frame::I420;
use crate::media::jitter::VoicePacket;
use crate::media::parrot::Parrot;
use crate::text::SafeText;
use crate::units::Size;

/// The greeting.
const GREETING: Duration = Duration::from_secs(4);

/// What it asks of others; it goes back to them at the size that they can show.
const VIEWPORT: Size = Size::new(320, 180);

/// What it says before its first answer in the chat.
const INTRODUCTION: &str = "I am an echo: what you show, say and write comes back";

/// The built-in peer.
pub struct EchoFront {
    pictures: Arc<Slot<I420>>,
    returning: Arc<AtomicBool>,
    parrot: Parrot,
    greeting_ends: Option<Instant>,
    greeted: bool,
    introduced: bool,
    their_camera: bool,
    their_size: Option<Size>,
}

impl EchoFront {
    /// An echo that returns pictures by this slot.
    pub fn new(pictures: Arc<Slot<I420>>) -> Self {
        Self {
            pictures,
            returning: Arc::default(),
            parrot: Parrot::default(),
            greeting_ends: None,
            greeted: false,
            introduced: false,
            their_camera: false,
            their_size: None,
        }
    }

    pub(super) async fn next(&mut self) -> Vec<Want> {
        let greeting = self.greeting_ends.filter(|_| !self.greeted);
        let due = [greeting, self.parrot.poll_timeout()].into_iter().flatten().min();
        match due {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
        self.handle_timeout(clock::now())
    }

    pub(super) fn handle(&mut self, happening: &Happening<'_>, now: Instant) -> Vec<Want> {
        match happening {
            Happening::Call(Event::PeerJoined { peer, .. }) => vec![Want::Viewport(peer.into(), VIEWPORT)],
            Happening::Call(Event::Connected { .. }) => {
                self.greeting_ends.get_or_insert(now + GREETING);
                vec![]
            }
            Happening::Call(Event::Mute { camera, .. }) => {
                self.their_camera = !camera;
                self.turn()
            }
            Happening::Call(Event::Chat { text, .. }) => self.answer(text),
            Happening::Picture(video, size) if video.kind == VideoKind::Camera => {
                self.their_size = Some(*size);
                self.turn()
            }
            _ => vec![],
        }
    }

    pub(super) fn hear(&mut self, packet: &VoicePacket, now: Instant) {
        if self.greeted {
            self.parrot.hear(packet, now);
        }
    }

    pub(super) fn show(&self) -> Show {
        let (pictures, returning) = (Arc::clone(&self.pictures), Arc::clone(&self.returning));
        Box::new(move |picture| {
            if returning.load(Ordering::Acquire) {
                pictures.put(Arc::clone(picture));
            }
        })
    }

    fn handle_timeout(&mut self, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        if !self.greeted && self.greeting_ends.is_some_and(|end| now >= end) {
            self.greeted = true;
            wants.push(Want::Voice(false));
            wants.extend(self.turn());
        }
        wants.extend(self.parrot.speak(now).map(Want::Say));
        wants
    }

    /// Says once what it is, and returns what is written to it.
    fn answer(&mut self, text: &SafeText) -> Vec<Want> {
        let mut answers = Vec::new();
        if !std::mem::replace(&mut self.introduced, true) {
            answers.push(Want::Chat(SafeText::chat(INTRODUCTION)));
        }
        answers.push(Want::Chat(text.clone()));
        answers
    }

    /// Their picture where there is one, else the test picture.
    fn turn(&mut self) -> Vec<Want> {
        let theirs = self.their_size.filter(|_| self.greeted && self.their_camera);
        let was = self.returning.swap(theirs.is_some(), Ordering::AcqRel);
        let mut wants = Vec::new();
        if was != theirs.is_some() {
            wants.push(Want::Source(theirs.is_none()));
        }
        wants.extend(theirs.map(Want::SourceSize));
        wants
    }
}
