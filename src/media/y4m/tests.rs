use proptest::prelude::*;

use super::*;

fn picture(size: Size, seed: u8) -> I420 {
    let mut picture = I420::new(size);
    for (i, sample) in picture.bytes_mut().iter_mut().enumerate() {
        *sample = 16 + ((i * 7) as u8).wrapping_add(seed) % 200;
    }
    picture
}

fn header(text: &str) -> Result<Header, Y4mError> {
    Header::parse(text.as_bytes())
}

#[test]
fn what_is_written_is_read() {
    let pictures = [1, 2, 3].map(|seed| picture(Size::new(33, 17), seed));
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, (30, 1));
    for picture in &pictures {
        writer.write(picture).expect("memory takes everything");
    }
    let mut reader = Reader::new(io::Cursor::new(bytes)).expect("own header");
    assert_eq!(reader.header().rate, Some((30, 1)));
    let mut to = I420::default();
    for _ in 0..2 {
        for picture in &pictures {
            assert!(reader.read(&mut to).expect("own picture"));
            assert_eq!(&to, picture);
        }
        assert!(!reader.read(&mut to).expect("a clean end"));
        reader = reader.rewind().expect("memory is seekable");
    }
}

#[test]
fn a_picture_of_another_size_is_scaled_to_the_first() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, (30, 1));
    for size in [Size::new(32, 32), Size::new(64, 48), Size::new(32, 32)] {
        writer.write(&I420::new(size)).expect("memory takes everything");
    }
    let mut reader = Reader::new(&bytes[..]).expect("own header");
    let mut to = I420::default();
    for _ in 0..3 {
        assert!(reader.read(&mut to).expect("whole pictures"));
        assert_eq!(to, I420::new(Size::new(32, 32)));
    }
}

#[test]
fn headers_of_other_programs_are_understood() {
    let ffmpeg =
        header("YUV4MPEG2 W176 H144 F30000:1001 Ip A128:117 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=FULL");
    let expected = Header {
        size: Size::new(176, 144),
        rate: Some((30_000, 1001)),
        layout: Layout::C420,
        range: Range::Full,
    };
    assert_eq!(ffmpeg.expect("ffmpeg's"), expected);
    let short = header("YUV4MPEG2 W16 H16").expect("all that is needed");
    assert_eq!((short.rate, short.layout), (None, Layout::C420));
}

#[test]
fn a_bad_header_is_told_by_its_fault() {
    for (text, fault) in [
        ("RIFF", "not YUV4MPEG2"),
        ("YUV4MPEG2 H16", "width"),
        ("YUV4MPEG2 W16 H8193", "height"),
        ("YUV4MPEG2 W99999999999999999999 H16", "width"),
        ("YUV4MPEG2 W-16 H16", "width"),
        ("YUV4MPEG2 W16 H16 F30", "rate F30"),
        ("YUV4MPEG2 W16 H16 F30:0", "rate F30:0"),
        ("YUV4MPEG2 W16 H16 C420p10", "C420p10"),
        ("YUV4MPEG2 W16 H16 C444alpha", "C444alpha"),
    ] {
        let error = header(text).expect_err(text).to_string();
        assert!(error.contains(fault), "{text}: {error}");
    }
}

#[test]
fn a_damaged_stream_is_told_by_its_fault() {
    let error = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes)?;
        let mut to = I420::default();
        while reader.read(&mut to)? {}
        Ok::<(), Y4mError>(())
    };
    let head = b"YUV4MPEG2 W16 H16\n".to_vec();
    assert!(matches!(error(b""), Err(Y4mError::NotY4m)));
    assert!(matches!(error(&[b'Y'; 5000]), Err(Y4mError::LongLine)));
    assert!(error(&head).is_ok());
    let with = |tail: &[u8]| [head.as_slice(), tail].concat();
    assert!(matches!(error(&with(b"FRAME\nabc")), Err(Y4mError::Truncated(1))));
    assert!(matches!(error(&with(b"JUNK\n")), Err(Y4mError::NoFrame(1))));
    assert!(matches!(error(&with(b"FRA")), Err(Y4mError::NoFrame(1))));
    assert!(error(&with(&[b"FRAME Ip\n", [9; 384].as_slice()].concat())).is_ok());
}

#[test]
fn other_layouts_become_420_and_full_range_limited() {
    for (layout, colour) in [("C444", 2 * 16 * 16), ("C422", 2 * 8 * 16), ("Cmono", 0)] {
        let mut bytes = format!("YUV4MPEG2 W16 H16 {layout} XCOLORRANGE=FULL\nFRAME\n").into_bytes();
        bytes.extend([255; 16 * 16]);
        bytes.extend(vec![0; colour / 2]);
        bytes.extend(vec![255; colour / 2]);
        let mut to = I420::default();
        Reader::new(&bytes[..])
            .expect(layout)
            .read(&mut to)
            .expect(layout);
        let [y, u, v] = to.planes();
        let expected = if colour == 0 {
            (235, 128, 128)
        } else {
            (235, 16, 240)
        };
        assert_eq!((y.data[0], u.data[63], v.data[0]), expected, "{layout}");
        assert_eq!(to.range, Range::Limited);
    }
}

#[test]
fn colour_is_averaged() {
    let mut to = I420::new(Size::new(3, 3));
    let u = [10, 20, 30, 30, 40, 50, 60, 70, 80];
    subsample(&mut to, &[u, u].concat(), Layout::C444);
    assert_eq!(to.planes()[1].data, [25, 40, 65, 80]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_in_a_stream_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Reader::new(&bytes[..]).map(|mut reader| reader.read(&mut I420::default()));
    }

    #[test]
    fn nothing_in_a_header_panics(words in "( ?[WHFICAX][0-9:a-zA-Z=-]{0,12}){0,8}") {
        let _ = Header::parse(format!("YUV4MPEG2{words}").as_bytes());
    }
}
