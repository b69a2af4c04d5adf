//! What the front wants, and what it is told.

use std::time::Instant;

use super::Driver;
use crate::io::front::{Happening, Want};
use crate::io::sound::SoundCommand;
use crate::media::chime::Chime;

impl Driver {
    pub(super) fn grant(&mut self, want: Want, now: Instant) {
        match want {
            Want::Mic(on) => {
                self.mic_on = on;
                self.sound.send(SoundCommand::Mic(on));
                self.call.set_mic(on, now);
                self.switched(now);
            }
            Want::Camera(on) => {
                self.camera_on = on;
                self.source.set_on(on);
                if !on && self.options.camera.is_device() {
                    self.encoding.forget();
                }
                self.call.set_camera(on, now);
                self.switched(now);
            }
            Want::Viewport(video, size) => self.call.set_viewport(video, size, now),
            Want::Fps(fps) => self.call.set_wanted_fps(fps),
            Want::Source(on) => self.source.set_on(on),
            Want::Voice(on) => {
                self.sound.send(SoundCommand::Mic(on));
            }
            Want::SourceSize(size) => self.call.set_source(Some(size), now),
            Want::Say(data) => {
                let time = now.saturating_duration_since(self.epoch).as_micros() * 48 / 1000;
                self.call.send_voice(&data, time as u64, now);
            }
            Want::Chat(text) => self.call.chat(&text, now),
            Want::ListDevices => {
                self.sound.send(SoundCommand::List);
            }
            Want::Microphone(source) => {
                self.options.mic = source.clone();
                self.sound.send(SoundCommand::Microphone(source));
            }
            Want::Speaker(sink) => {
                self.options.speaker = sink.clone();
                self.sound.send(SoundCommand::Speaker(sink));
            }
            Want::Volume(peer, factor) => {
                self.sound.send(SoundCommand::Volume(peer, factor));
            }
            Want::Leave(reason) => self.reason = Some(reason),
        }
    }

    /// Tells by ear who came or went.
    pub(super) fn ring(&self, chime: Chime) {
        if self.options.chimes {
            self.sound.send(SoundCommand::Ring(chime));
        }
    }

    pub(super) fn switched(&mut self, now: Instant) {
        self.tell(
            &Happening::Switched {
                mic_on: self.mic_on,
                camera_on: self.camera_on,
            },
            now,
        );
    }

    pub(super) fn tell(&mut self, happening: &Happening<'_>, now: Instant) {
        let wants = self.front.handle(happening, now);
        self.wants.extend(wants);
    }
}
