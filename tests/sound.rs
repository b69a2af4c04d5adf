//! Real sound: two people at a private PulseAudio speak into their microphones and hear each other.
#![cfg(all(feature = "sound", target_os = "linux"))]
#![allow(clippy::print_stderr)]

#[path = "support/pulse.rs"]
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use facetty::io::clock;
use facetty::io::sound::{self, MicSource, Sound, SoundCommand, SoundConfig, SoundEvent, SpeakerSink};
use facetty::media::jitter::VoicePacket;
use facetty::signal::message::PeerId;
use tokio::sync::mpsc::{Receiver, channel};

use pulse::{Listener, strength, tone, with_private_server};

/// Plugs in the microphone of `a`.
const MIC_OF_A: &[&str] = &[
    "load-module",
    "module-remap-source",
    "source_name=mic-a",
    "master=feed-a.monitor",
    "source_properties=device.description=mic-of-a",
];

/// For each thing that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn two_people_hear_each_other_also_after_the_server_died() {
    let name = "two_people_hear_each_other_also_after_the_server_died";
    with_private_server(name, |server| {
        let folder = tempfile::tempdir().expect("a folder");
        let (low, high) = (tone(folder.path(), 700.0), tone(folder.path(), 1_100.0));
        let mut a = Person::new("a");
        let mut b = Person::new("b");
        let _low = server.play(&low, "feed-a");
        let _high = server.play(&high, "feed-b");
        {
            let (at_a, at_b) = (server.listen("speaker-a"), server.listen("speaker-b"));
            hear(&mut a, &mut b, &at_b, 700.0, 1_100.0);
            hear(&mut a, &mut b, &at_a, 1_100.0, 700.0);
        }
        assert!(
            a.told.contains(&SoundEvent::FirstAudio(peer("b"))),
            "{:?}",
            a.told
        );
        assert!(
            a.told.contains(&SoundEvent::Talking(peer("b"), true)),
            "{:?}",
            a.told
        );

        a.told.clear();
        b.told.clear();
        let killed = server.kill();
        wait(&mut a, &mut b, "both are told", |a, b| {
            a.has(false) && b.has(false)
        });
        let server = killed.restart();
        let _low = server.play(&low, "feed-a");
        let _high = server.play(&high, "feed-b");
        wait(&mut a, &mut b, "both are told again", |a, b| {
            a.has(true) && b.has(true)
        });
        for person in [&a, &b] {
            assert_eq!(person.notices("microphone lost"), 1, "{:?}", person.told);
            assert_eq!(person.notices("speaker lost"), 1, "{:?}", person.told);
        }
        let (at_a, at_b) = (server.listen("speaker-a"), server.listen("speaker-b"));
        hear(&mut a, &mut b, &at_b, 700.0, 1_100.0);
        hear(&mut a, &mut b, &at_a, 1_100.0, 700.0);
    });
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    with_private_server("a_wrong_name_is_told_with_the_right_ones", |_server| {
        let list = sound::list();
        assert_eq!(list.microphones, ["mic-of-a", "mic-of-b"]);
        assert_eq!(
            list.speakers,
            ["speaker-of-a", "feed-of-a", "speaker-of-b", "feed-of-b"]
        );
        let (events, mut told) = channel(64);
        let config = SoundConfig {
            mic: MicSource::Device("mic-of-c".into()),
            speaker: SpeakerSink::None,
            mic_on: true,
            echo_cancelled: true,
        };
        let _sound = sound::start(config, events).expect("a missing device is no error");
        let notice = loop {
            match told.blocking_recv().expect("the thread runs") {
                SoundEvent::Notice(text) => break text,
                _ => continue,
            }
        };
        assert!(
            notice.contains("\"mic-of-c\"") && notice.contains("mic-of-a, mic-of-b"),
            "{notice}"
        );
    });
}

#[test]
fn devices_change_go_and_come_in_mid_call() {
    with_private_server("devices_change_go_and_come_in_mid_call", |server| {
        server.change(&["set-default-source", "mic-a"]);
        server.change(&["set-default-sink", "speaker-a"]);
        let mut a = Person::with("a", MicSource::Auto, SpeakerSink::Auto);
        let mut b = Person::with("b", MicSource::None, SpeakerSink::None);
        wait(&mut a, &mut b, "both devices", |a, _| a.has(true));

        server.change(&["set-default-source", "mic-b"]);
        server.change(&["set-default-sink", "speaker-b"]);
        wait(&mut a, &mut b, "the system's choice is followed", |a, _| {
            a.notices("microphone is now mic-of-b") == 1 && a.notices("speaker is now speaker-of-b") == 1
        });

        a.sound
            .send(SoundCommand::Speaker("speaker-a".parse().expect("a good name")));
        a.sound
            .send(SoundCommand::Microphone("mic-a".parse().expect("a good name")));
        wait(&mut a, &mut b, "the chosen ones are taken", |a, _| {
            a.notices("microphone is now mic-of-a") == 1 && a.notices("speaker is now speaker-of-a") == 1
        });

        server.change(&["unload-module", "module-remap-source"]);
        wait(&mut a, &mut b, "the microphone is missed", |a, _| {
            a.notices("microphone lost") == 1
        });
        server.change(MIC_OF_A);
        wait(&mut a, &mut b, "it is back", |a, _| {
            a.notices("microphone is back: mic-of-a") == 1 && a.has(true)
        });
        assert_eq!(a.notices("speaker lost"), 0, "{:?}", a.told);
    });
}

#[test]
fn a_call_begins_without_any_device_and_takes_what_comes() {
    let name = "a_call_begins_without_any_device_and_takes_what_comes";
    with_private_server(name, |server| {
        server.change(&["unload-module", "module-remap-source"]);
        server.change(&["unload-module", "module-null-sink"]);
        let mut a = Person::with("a", MicSource::Auto, SpeakerSink::Auto);
        let mut b = Person::with("b", MicSource::Tone, SpeakerSink::None);
        wait(
            &mut a,
            &mut b,
            "both are missed, once, and the other is heard",
            |a, _| {
                a.notices("no microphone") == 1
                    && a.notices("no speaker") == 1
                    && a.told.contains(&SoundEvent::FirstAudio(peer("b")))
            },
        );
        assert!(!a.has(true), "{:?}", a.told);

        for how in [
            "sink_name=speaker-a rate=48000 norewinds=1 sink_properties=device.description=speaker-of-a",
            "sink_name=feed-a rate=48000 norewinds=1 sink_properties=device.description=feed-of-a",
        ] {
            let mut args = vec!["load-module", "module-null-sink"];
            args.extend(how.split(' '));
            server.change(&args);
        }
        server.change(&["set-default-sink", "speaker-a"]);
        server.change(MIC_OF_A);
        wait(&mut a, &mut b, "both are taken", |a, _| a.has(true));
        assert_eq!(a.notices("no microphone"), 1, "{:?}", a.told);
        // The beep of the other is heard.
        let at_a = server.listen("speaker-a");
        hear(&mut a, &mut b, &at_a, 440.0, 700.0);
    });
}

#[test]
fn a_sound_server_that_comes_later_is_taken() {
    with_private_server("a_sound_server_that_comes_later_is_taken", |server| {
        // Until then there is a device of ALSA's, which plays to nobody.
        let killed = server.kill();
        let mut a = Person::with("a", MicSource::Auto, SpeakerSink::Auto);
        let mut b = Person::with("b", MicSource::Tone, SpeakerSink::None);
        wait(&mut a, &mut b, "a speaker without a server", |a, _| {
            a.told
                .iter()
                .any(|event| matches!(event, SoundEvent::Devices { has_speaker, .. } if *has_speaker))
        });
        let server = killed.restart();
        wait(&mut a, &mut b, "the server's are taken", |a, _| {
            a.has(true) && a.notices("microphone is now mic-of-") == 1 && a.notices("speaker is now ") == 1
        });
        let choice = a.told.iter().find_map(|event| match event {
            SoundEvent::Notice(text) => text.strip_prefix("speaker is now "),
            _ => None,
        });
        let sink = choice.expect("it was told").replace("-of-", "-");
        let heard = server.listen(&sink);
        hear(&mut a, &mut b, &heard, 440.0, 700.0);
    });
}

#[test]
fn a_microphone_that_gives_nothing_is_left_for_another() {
    let name = "a_microphone_that_gives_nothing_is_left_for_another";
    with_private_server(name, |server| {
        server.change(&["set-default-source", "mic-a"]);
        server.change(&["suspend-source", "mic-a", "1"]);
        let folder = tempfile::tempdir().expect("a folder");
        let high = tone(folder.path(), 1_100.0);
        let _high = server.play(&high, "feed-b");
        let mut a = Person::with("a", MicSource::Auto, SpeakerSink::None);
        let mut b = Person::with("b", MicSource::None, "speaker-b".parse().expect("a good name"));
        let left = "microphone is now mic-of-b (mic-of-a gives no sound)";
        wait(&mut a, &mut b, "the other one is taken", |a, _| {
            a.notices(left) == 1
        });
        let at_b = server.listen("speaker-b");
        hear(&mut a, &mut b, &at_b, 1_100.0, 700.0);

        // Who asks for it by name is told, once, and gets it when it wakes.
        a.sound
            .send(SoundCommand::Microphone("mic-a".parse().expect("a good name")));
        wait(&mut a, &mut b, "it is told", |a, _| {
            a.notices("no microphone: mic-of-a gives no sound; plug one in") == 1
        });
        server.change(&["suspend-source", "mic-a", "0"]);
        wait(&mut a, &mut b, "it is taken", |a, _| {
            a.notices("microphone is back: mic-of-a") == 1
        });
        // One that falls silent in mid-call is missed as well.
        server.change(&["suspend-source", "mic-a", "1"]);
        wait(&mut a, &mut b, "it is told again", |a, _| {
            a.notices("no microphone: mic-of-a gives no sound") == 2
        });
    });
}

#[test]
fn a_server_that_hangs_holds_nobody_up() {
    with_private_server("a_server_that_hangs_holds_nobody_up", |server| {
        let mut a = Person::new("a");
        let mut b = Person::with("b", MicSource::Tone, SpeakerSink::None);
        wait(&mut a, &mut b, "both devices", |a, _| a.has(true));
        server.hang();
        wait(&mut a, &mut b, "both are missed", |a, _| {
            a.notices("microphone lost (the sound server does not answer)") == 1
                && a.notices("speaker lost (the sound server does not answer)") == 1
        });
        // Who comes now is told what to do, and is let go at once.
        let mut late = Person::new("a");
        wait(&mut late, &mut b, "it is told", |late, _| {
            late.notices("no microphone: the sound server does not answer; restart it") == 1
        });
        let began = clock::now();
        drop(late);
        assert!(clock::now() - began < Duration::from_secs(5));
        server.wake();
        wait(&mut a, &mut b, "both are back", |a, _| a.has(true));
        let at_a = server.listen("speaker-a");
        hear(&mut a, &mut b, &at_a, 440.0, 700.0);
    });
}

/// Somebody with a real microphone and a real speaker, chosen by name.
struct Person {
    sound: Sound,
    events: Receiver<SoundEvent>,
    me: PeerId,
    seq: u64,
    told: Vec<SoundEvent>,
}

impl Person {
    fn new(who: &str) -> Self {
        // By the host's name, and by a person's.
        let mic = format!("mic-{who}").parse().expect("a good name");
        let speaker = format!("Speaker-of-{who}").parse().expect("a good name");
        Self::with(who, mic, speaker)
    }

    fn with(who: &str, mic: MicSource, speaker: SpeakerSink) -> Self {
        let (sender, events) = channel(64);
        let config = SoundConfig {
            mic,
            speaker,
            mic_on: true,
            echo_cancelled: true,
        };
        let sound = sound::start(config, sender).expect("no file is needed");
        let other = peer(if who == "a" { "b" } else { "a" });
        assert!(sound.send(SoundCommand::AddPeer(other)));
        Self {
            sound,
            events,
            me: peer(who),
            seq: 0,
            told: Vec::new(),
        }
    }

    /// Brings what was said since the last time to the other.
    fn carry(&mut self, to: &Sound) {
        while let Ok(event) = self.events.try_recv() {
            self.take(event, to);
        }
        assert!(!self.events.is_closed(), "the audio thread of {} ended", self.me);
    }

    fn take(&mut self, event: SoundEvent, to: &Sound) {
        match event {
            SoundEvent::Voice { time, data, .. } => {
                let packet = VoicePacket {
                    seq: self.seq,
                    time,
                    data: Arc::from(data),
                    arrived: clock::now(),
                };
                self.seq += 1;
                to.send(SoundCommand::Packet(self.me.clone(), packet));
            }
            SoundEvent::Level { .. } | SoundEvent::PeerStats(..) => {}
            other => self.told.push(other),
        }
    }

    /// Both devices are there, or neither.
    fn has(&self, devices: bool) -> bool {
        let last = self.told.iter().rev().find_map(|event| match event {
            SoundEvent::Devices { has_mic, has_speaker } => Some((*has_mic, *has_speaker)),
            _ => None,
        });
        last == Some((devices, devices))
    }

    /// How often something was said.
    fn notices(&self, beginning: &str) -> usize {
        let said =
            |event: &&SoundEvent| matches!(event, SoundEvent::Notice(text) if text.starts_with(beginning));
        self.told.iter().filter(said).count()
    }
}

fn peer(name: &str) -> PeerId {
    PeerId::try_from(name.to_owned()).expect("a good name")
}

/// Carries both voices until `pitch`, and not `other`, is heard for two seconds. A beep lasts for three
/// quarters of each.
fn hear(a: &mut Person, b: &mut Person, at: &Listener, pitch: f32, other: f32) {
    let until = clock::now() + PATIENCE;
    let mut moments = 0;
    while moments < 2 {
        let mut moment = Vec::new();
        while moment.len() < 48_000 {
            moment.extend(at.block());
            a.carry(&b.sound);
            b.carry(&a.sound);
        }
        let (wanted, unwanted) = (strength(&moment, pitch), strength(&moment, other));
        moments = if wanted > 0.03 && unwanted < wanted / 10.0 {
            moments + 1
        } else {
            0
        };
        assert!(
            clock::now() < until,
            "{pitch} Hz: {wanted}, {other} Hz: {unwanted}"
        );
    }
}

/// Carries both voices until `done`.
fn wait(a: &mut Person, b: &mut Person, what: &str, done: impl Fn(&Person, &Person) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let carried = async {
        while !done(a, b) {
            tokio::select! {
                Some(event) = a.events.recv() => a.take(event, &b.sound),
                Some(event) = b.events.recv() => b.take(event, &a.sound),
                else => panic!("both audio threads ended"),
            }
        }
    };
    let in_time = runtime.block_on(async { tokio::time::timeout(PATIENCE, carried).await });
    assert!(in_time.is_ok(), "{what}: {:?} {:?}", a.told, b.told);
}
