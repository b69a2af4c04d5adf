//! Bytes of terminals, in any pieces.

use proptest::prelude::*;

use super::*;

fn all(pieces: &[&[u8]]) -> Vec<Event> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.feed(piece, |event| events.push(event));
    }
    parser.expire(|event| events.push(event));
    assert_eq!(parser.patience(), None);
    events
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

fn plain(c: char) -> Event {
    key(KeyCode::Char(c), KeyModifiers::NONE)
}

#[test]
fn answers_are_read() {
    for (bytes, wanted) in [
        (&b"\x1b[0n"[..], Reply::Status),
        (b"\x1b[?62;4;22c", Reply::Attributes { sixel: true }),
        (b"\x1b[?4;6c", Reply::Attributes { sixel: false }),
        (b"\x1b[?62c", Reply::Attributes { sixel: false }),
        (b"\x1bP>|tmux 3.3a\x1b\\", Reply::Version("tmux 3.3a".to_owned())),
        (b"\x1b[6;18;9t", Reply::Cell(Size::new(9, 18))),
        (b"\x1b[4;432;720t", Reply::Area(Size::new(720, 432))),
        (b"\x1b_Gi=31;OK\x1b\\", Reply::Graphics(true)),
        (b"\x1b_Gi=31;EINVAL:no\x1b\\", Reply::Graphics(false)),
        (b"\x1b[?2026;2$y", Reply::Synchronized(true)),
        (
            b"\x1bP1$r0;48:2::1:2:3m\x1b\\",
            Reply::Colours { truecolor: true },
        ),
        (b"\x1bP1$r0;48;2;1;2;3m\x1b\\", Reply::Colours { truecolor: true }),
        (b"\x1bP1$r48:2:1:1:2:3m\x1b\\", Reply::Colours { truecolor: true }),
        (b"\x1bP1$r0;48:5:16m\x1b\\", Reply::Colours { truecolor: false }),
        (b"\x1bP1$r0m\x1b\\", Reply::Colours { truecolor: false }),
        (b"\x1b[?2026;0$y", Reply::Synchronized(false)),
    ] {
        assert_eq!(all(&[bytes]), [Event::Reply(wanted)], "{}", bytes.escape_ascii());
    }
}

#[test]
fn keys_are_read() {
    use KeyModifiers as M;
    for (bytes, wanted) in [
        (&b"m"[..], plain('m')),
        ("é".as_bytes(), plain('é')),
        (b"?", plain('?')),
        (b"\x03", key(KeyCode::Char('c'), M::CONTROL)),
        (b"\r", key(KeyCode::Enter, M::NONE)),
        (b"\t", key(KeyCode::Tab, M::NONE)),
        (b"\x7f", key(KeyCode::Backspace, M::NONE)),
        (b"\x1b", key(KeyCode::Esc, M::NONE)),
        (b"\x1b[", key(KeyCode::Char('['), M::ALT)),
        (b"\x1bO", key(KeyCode::Char('O'), M::ALT)),
        (b"\x1bP", key(KeyCode::Char('P'), M::ALT)),
        (b"\x1bx", key(KeyCode::Char('x'), M::ALT)),
        ("\x1bé".as_bytes(), key(KeyCode::Char('é'), M::ALT)),
        (b"\x1b[A", key(KeyCode::Up, M::NONE)),
        (b"\x1bOA", key(KeyCode::Up, M::NONE)),
        (b"\x1b[1;5C", key(KeyCode::Right, M::CONTROL)),
        (b"\x1b[Z", key(KeyCode::BackTab, M::SHIFT)),
        (b"\x1b[5~", key(KeyCode::PageUp, M::NONE)),
        (b"\x1b[[A", key(KeyCode::F(1), M::NONE)),
    ] {
        assert_eq!(all(&[bytes]), [wanted], "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_pasted_presses_no_keys() {
    let pasted = b"\x1b[200~hello m v q\r\x1b[201~m";
    for cut in 1..pasted.len() {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        parser.feed(&pasted[..cut], |event| events.push(event));
        parser.feed(&pasted[cut..], |event| events.push(event));
        let text = Event::Paste("hello m v q\r".to_owned());
        assert_eq!(events, [text, plain('m')], "cut at {cut}");
    }
}

#[test]
fn what_looks_like_keys_or_answers_in_a_paste_is_text() {
    let text = "\x1b[0n\x1b[A\x1b]0;title\x07é";
    let pasted = format!("\x1b[200~{text}\x1b[201~");
    assert_eq!(all(&[pasted.as_bytes()]), [Event::Paste(text.to_owned())]);
    let long = format!("\x1b[200~{}\x1b[201~q", "x".repeat(LONGEST_PASTE + 999));
    let kept = Event::Paste("x".repeat(LONGEST_PASTE));
    assert_eq!(all(&[long.as_bytes()]), [kept, plain('q')]);
}

#[test]
fn a_release_is_told_from_a_press() {
    let [Event::Key(released)] = all(&[b"\x1b[32;1:3u"])[..] else {
        panic!("one key");
    };
    assert_eq!(
        (released.code, released.kind),
        (KeyCode::Char(' '), KeyEventKind::Release)
    );
}

#[test]
fn escape_before_an_answer_is_a_key() {
    assert_eq!(
        all(&[b"\x1b\x1b[0nq"]),
        [
            key(KeyCode::Esc, KeyModifiers::NONE),
            Event::Reply(Reply::Status),
            plain('q')
        ]
    );
}

#[test]
fn what_is_unknown_types_nothing() {
    for bytes in [
        &b"\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\"[..],
        b"\x1b]11;rgb:1e1e/1e1e/1e1e\x07",
        b"\x1bP1+r544e\x1b\\",
        b"\x1b[?2004;2$y",
        b"\x1b[>41;379;0c",
        b"\x1b[8;24;80t",
        b"\x1b[12\x01",
    ] {
        let mut after = all(&[bytes, b"q"]);
        assert_eq!(after.pop(), Some(plain('q')), "{}", bytes.escape_ascii());
        let torn = key(KeyCode::Char('a'), KeyModifiers::CONTROL);
        assert!(after.iter().all(|e| *e == torn), "{}", bytes.escape_ascii());
    }
}

#[test]
fn patience_is_for_what_has_begun() {
    let mut parser = Parser::default();
    for (bytes, wanted) in [
        (&b"a"[..], None),
        (b"\x1b", Some(KEY)),
        (b"P", Some(KEY)),
        (b">|x", Some(ANSWER)),
        (b"\x1b\\", None),
    ] {
        parser.feed(bytes, |_| ());
        assert_eq!(parser.patience(), wanted);
    }
}

fn piece() -> impl Strategy<Value = &'static [u8]> {
    proptest::sample::select(vec![
        &b"\x1b[0n"[..],
        b"\x1b[?62;4c",
        b"\x1bP>|kitty(0.36.4)\x1b\\",
        b"\x1b_Gi=31;OK\x1b\\",
        b"\x1b[6;16;8t",
        b"q",
        b"m ",
        "é李".as_bytes(),
        b"\x1b[A",
        b"\x1bOB",
        b"\x1b[5~",
        b"\x1bx",
        b"\x1b[32;1:3u",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However the stream is torn, the same comes out.
    #[test]
    fn it_does_not_matter_where_the_stream_is_cut(
        pieces in proptest::collection::vec(piece(), 1..20),
        cuts in proptest::collection::vec(1_usize..7, 1..60),
    ) {
        let whole = pieces.concat();
        let mut torn: Vec<&[u8]> = Vec::new();
        let mut rest = &whole[..];
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            torn.push(head);
            rest = tail;
        }
        torn.push(rest);
        prop_assert_eq!(all(&torn), all(&pieces));
    }

    #[test]
    fn nothing_in_the_stream_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut parser = Parser::default();
        for piece in bytes.chunks(7) {
            parser.feed(piece, |_| ());
        }
        parser.expire(|_| ());
    }
}
