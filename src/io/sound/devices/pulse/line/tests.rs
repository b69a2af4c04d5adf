//! A connection over a pair of sockets, and a server that sends what a test says.

use proptest::prelude::*;
use pulseaudio::protocol::stream::BufferAttr;
use pulseaudio::protocol::{
    RecordStreamMovedParams, SubscriptionEvent, SubscriptionEventFacility, SubscriptionEventType,
    SubscriptionMask,
};

use super::*;
use crate::io::sound::ports::Capture;
use crate::media::audio::{BLOCK, RATE};

/// A connection with a microphone on channel 7, the other end of it, and the audio thread's end.
fn line() -> (Line, UnixStream, Capture) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true)
        .expect("a socket can be read without waiting");
    let quit = Arc::new(Quit::new().expect("an event"));
    let (capture, source) = Capture::new(RATE);
    let mut line = Line::over(ours, &quit);
    line.flow = Some((7, Flow::Capture(Fill::new(source, 1))));
    (line, theirs, capture)
}

fn message(channel: u32, payload: &[u8]) -> Vec<u8> {
    let descriptor = Descriptor {
        length: payload.len() as u32,
        channel,
        offset: 0,
        flags: DescriptorFlags::empty(),
    };
    let mut bytes = Vec::new();
    protocol::write_descriptor(&mut bytes, &descriptor).expect("a vector takes it");
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn sound_comes_whole_however_it_is_cut() {
    let (mut line, mut server, mut capture) = line();
    let sound: Vec<u8> = std::iter::repeat_n(0.25_f32.to_le_bytes(), 4 * BLOCK)
        .flatten()
        .collect();
    let bytes = message(7, &sound);
    let mut turns = 0;
    for piece in bytes.chunks(700) {
        server.write_all(piece).expect("it is read");
        turns += usize::from(matches!(line.turn(clock::now()), Ok(Some(Turn::Flowed))));
    }
    assert_eq!(turns, 1);
    let mut block = [0.0; BLOCK];
    let blocks = std::iter::from_fn(|| capture.read(&mut block, clock::now()).then_some(())).count();
    assert!((3..=4).contains(&blocks), "{blocks}");
    assert!((block[BLOCK - 1] - 0.25).abs() < 0.01, "{}", block[BLOCK - 1]);
}

#[test]
fn what_comes_while_an_answer_is_awaited_is_the_next_turns() {
    let (mut line, mut server, mut capture) = line();
    let event = |number, command: &Command| {
        let mut bytes = Vec::new();
        protocol::write_command_message(&mut bytes, number, command, MAX_VERSION).expect("a vector takes it");
        bytes
    };
    let changed = event(
        u32::MAX,
        &Command::SubscribeEvent(SubscriptionEvent {
            event_facility: SubscriptionEventFacility::Source,
            event_type: SubscriptionEventType::Removed,
            index: Some(3),
        }),
    );
    let moved = |to: &str| {
        event(
            u32::MAX,
            &Command::RecordStreamMoved(RecordStreamMovedParams {
                stream_index: 7,
                device_index: 4,
                device_name: CString::new(to).expect("no zeros"),
                device_suspended: false,
                buffer_attr: BufferAttr::default(),
                configured_source_latency: 0,
            }),
        )
    };
    let sound = message(7, &[0; 4 * 4 * BLOCK]);
    let mut bytes = Vec::new();
    // A swarm, in the midst of which the answer to something older is found.
    for _ in 0..1_000 {
        bytes.extend(&changed);
    }
    protocol::write_ack_message(&mut bytes, 0).expect("a vector takes it");
    bytes.extend(moved("first"));
    bytes.extend(sound);
    bytes.extend(moved("second"));
    bytes.extend(event(u32::MAX, &Command::RecordStreamKilled(7)));
    protocol::write_ack_message(&mut bytes, 1).expect("a vector takes it");
    bytes.extend(&changed);
    server.write_all(&bytes).expect("there is room");

    line.tell(&Command::Subscribe(SubscriptionMask::SOURCE))
        .expect("it is answered");
    let mut block = [0.0; BLOCK];
    assert!(capture.read(&mut block, clock::now()), "sound was seen to");
    let turns: Vec<Turn> = std::iter::from_fn(|| line.turn(clock::now()).expect("a connection")).collect();
    assert_eq!(
        turns,
        [
            Turn::Changed,
            Turn::Flowed,
            Turn::Moved("second".into()),
            Turn::Ended,
            Turn::Changed
        ]
    );
}

#[test]
fn who_is_told_to_leave_waits_no_longer() {
    let (mut line, _server, _) = line();
    line.quit.ask();
    let left = line.turn(clock::now() + Duration::from_secs(600));
    assert!(matches!(left, Err(Trouble::Quit)));
}

#[test]
fn a_closed_connection_and_a_monstrous_message_are_told() {
    let (mut broken, server, _) = line();
    drop(server);
    let told = broken.turn(clock::now() + Duration::from_secs(600)).err();
    assert!(matches!(told, Some(Trouble::Broken(_))), "{told:?}");
    let (mut line, mut server, _) = line();
    server.write_all(&[0xff; DESCRIPTOR_SIZE]).expect("it is read");
    let told = line.turn(clock::now() + Duration::from_secs(600)).err();
    assert!(matches!(told, Some(Trouble::Broken(_))), "{told:?}");
}

proptest! {
    #[test]
    fn no_server_can_harm(
        messages in prop::collection::vec(
            (prop_oneof![Just(7_u32), Just(u32::MAX), any::<u32>()], any::<Vec<u8>>()),
            0..20,
        ),
        raw in any::<Vec<u8>>(),
    ) {
        let (mut line, mut server, _capture) = line();
        for (channel, payload) in messages {
            server.write_all(&message(channel, &payload)).expect("there is room");
        }
        server.write_all(&raw).expect("there is room");
        while let Ok(Some(_)) = line.turn(clock::now()) {}
    }
}
