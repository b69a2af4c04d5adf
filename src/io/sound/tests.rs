//! The running sound, without a device.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};

use super::*;
use crate::io::clock;

fn peer(name: &str) -> PeerId {
    PeerId::try_from(name.to_owned()).expect("a good name")
}

/// Brings each packet of `from` to `to`, until `enough` says so.
fn carry(from: &mut Receiver<SoundEvent>, to: &Sound, mut enough: impl FnMut(&SoundEvent) -> bool) {
    let mut seq = 7;
    while let Some(event) = from.blocking_recv() {
        if enough(&event) {
            return;
        }
        if let SoundEvent::Voice { time, data, .. } = event {
            let packet = VoicePacket {
                seq,
                time,
                data: data.into(),
                arrived: clock::now(),
            };
            seq += 1;
            assert!(to.send(SoundCommand::Packet(peer("a"), packet)));
        }
    }
    panic!("the audio thread ended by itself");
}

#[test]
fn a_tone_goes_in_here_and_into_a_file_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let heard = folder.path().join("heard.wav");
    let (events, mut voice) = channel(64);
    let here = SoundConfig {
        mic: MicSource::Tone,
        speaker: SpeakerSink::None,
        mic_on: true,
        echo_cancelled: true,
    };
    let here = start(here, events).expect("no device is needed");
    let (events, mut told) = channel(64);
    let there = SoundConfig {
        mic: MicSource::None,
        speaker: SpeakerSink::Wav(heard.clone()),
        mic_on: true,
        echo_cancelled: true,
    };
    let there = start(there, events).expect("no device is needed");
    assert!(here.send(SoundCommand::AddPeer(peer("b"))));
    assert!(there.send(SoundCommand::AddPeer(peer("a"))));
    let mut seen = Vec::new();
    carry(&mut voice, &there, |_| {
        while let Ok(event) = told.try_recv() {
            seen.push(event);
        }
        let stats = |event: &&SoundEvent| matches!(event, SoundEvent::PeerStats(..));
        seen.iter().filter(stats).count() == 2
    });
    drop(there);
    assert!(seen.contains(&SoundEvent::FirstAudio(peer("a"))), "{seen:?}");
    assert!(seen.contains(&SoundEvent::Talking(peer("a"), true)), "{seen:?}");
    let devices = SoundEvent::Devices {
        has_mic: false,
        has_speaker: true,
    };
    assert!(seen.contains(&devices), "{seen:?}");
    let mut wav = hound::WavReader::open(&heard).expect("a finished file");
    assert_eq!(wav.duration() % 480, 0);
    let samples: Vec<i16> = wav.samples().map(|s| s.expect("a sample")).collect();
    assert!(samples.len() >= 90_000, "{} samples", samples.len());
    let loud = samples.iter().filter(|s| s.unsigned_abs() > 1500).count();
    assert!(loud > samples.len() / 5, "{loud} of {}", samples.len());
}

#[test]
fn what_is_muted_is_not_sent_but_measured() {
    let (events, mut told) = channel(64);
    let config = SoundConfig {
        mic: MicSource::Tone,
        speaker: SpeakerSink::None,
        mic_on: false,
        echo_cancelled: true,
    };
    let sound = start(config, events).expect("no device is needed");
    assert!(sound.send(SoundCommand::AddPeer(peer("b"))));
    let mut next = || told.blocking_recv().expect("the thread runs");
    loop {
        match next() {
            SoundEvent::Voice { .. } => panic!("sent while muted"),
            SoundEvent::Level { level, talking } => {
                assert!((0.0..=1.0).contains(&level));
                if talking && level > 0.5 {
                    break;
                }
            }
            _ => {}
        }
    }
    assert!(sound.send(SoundCommand::Mic(true)));
    while !matches!(next(), SoundEvent::Voice { .. }) {}
}

#[test]
fn a_bad_file_is_told_at_once() {
    let (events, _told) = channel(1);
    let config = SoundConfig {
        mic: MicSource::Wav("/nowhere/voice.wav".into()),
        speaker: SpeakerSink::None,
        mic_on: true,
        echo_cancelled: true,
    };
    let said = start(config.clone(), events.clone()).map(drop);
    let said = said.expect_err("there is no file").to_string();
    assert!(
        said.starts_with("--mic: cannot open /nowhere/voice.wav"),
        "{said}"
    );
    let config = SoundConfig {
        mic: MicSource::None,
        speaker: SpeakerSink::Wav("/nowhere/heard.wav".into()),
        ..config
    };
    let said = start(config, events).map(drop);
    let said = said.expect_err("there is no folder").to_string();
    assert!(
        said.starts_with("--speaker: cannot write /nowhere/heard.wav"),
        "{said}"
    );
}

#[test]
fn a_full_queue_refuses_and_never_waits() {
    // A full channel of events stops nothing either.
    let (events, _told) = channel(1);
    let config = SoundConfig {
        mic: MicSource::None,
        speaker: SpeakerSink::None,
        mic_on: true,
        echo_cancelled: true,
    };
    let sound = start(config, events).expect("no device is needed");
    let began = clock::now();
    let packet = VoicePacket {
        seq: 0,
        time: 0,
        data: Arc::new([]),
        arrived: began,
    };
    // Nobody was added, so that the thread sleeps and takes nothing once it has begun.
    let refused = (0..1_000_000).any(|_| !sound.send(SoundCommand::Packet(peer("x"), packet.clone())));
    assert!(refused);
    drop(sound);
    assert!(clock::now() - began < Duration::from_secs(5));
}

#[test]
fn each_value_of_the_options_is_itself_again() {
    for text in ["auto", "none", "tone", "wav:a b.wav", "USB Microphone"] {
        let mic: MicSource = text.parse().expect("a good value");
        assert_eq!(mic.to_string(), text);
    }
    for text in ["auto", "none", "wav:x/y.wav", "Built-in: speaker"] {
        let speaker: SpeakerSink = text.parse().expect("a good value");
        assert_eq!(speaker.to_string(), text);
    }
    assert_eq!("wav:".parse::<MicSource>(), Err(ParseError::NoPath));
    assert_eq!("tone".parse::<SpeakerSink>(), Err(ParseError::ToneSpeaker));
    assert!("".parse::<MicSource>().is_err());
}
