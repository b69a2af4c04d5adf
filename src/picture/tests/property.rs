//! Whatever is composed, in whatever order, the terminal shows it.

use proptest::prelude::*;

use super::*;

/// A step in the life of a screen.
#[derive(Clone, Debug)]
enum Step {
    Resize(Cells),
    Glyphs(Glyphs),
    Budget(Option<usize>),
    Invalidate,
    Picture {
        area: CellRect,
        size: Size,
        seed: u64,
        amplitude: u8,
        mirror: bool,
    },
    Text {
        x: u16,
        y: u16,
        text: String,
        style: Style,
    },
    Dim(CellRect),
    Clear(CellRect),
    Bare,
}

fn rects() -> impl Strategy<Value = CellRect> {
    (0..30_u16, 0..12_u16, 0..40_u16, 0..16_u16)
        .prop_map(|(x, y, cols, rows)| CellRect::new(x, y, cols, rows))
}

fn inks() -> impl Strategy<Value = Ink> {
    prop_oneof![
        Just(Ink::Default),
        Just(Ink::Beneath),
        any::<u8>().prop_map(Ink::Indexed),
        any::<[u8; 3]>().prop_map(|[r, g, b]| Ink::Rgb(Rgb::new(r, g, b))),
    ]
}

fn styles() -> impl Strategy<Value = Style> {
    // A terminal's strike is not among what the emulator tells.
    (inks(), inks(), 0..32_u8).prop_map(|(fg, bg, attrs)| {
        let fg = if fg == Ink::Beneath { Ink::Default } else { fg };
        // Nor does it know bold and dim together.
        let attrs = if attrs & 3 == 3 {
            Attrs(attrs & !2)
        } else {
            Attrs(attrs)
        };
        Style { fg, bg, attrs }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    // The emulator itself fails where a wide character has no room.
    let sizes = (2..=40_u16, 2..=16_u16).prop_map(|(cols, rows)| Step::Resize(Cells::new(cols, rows)));
    let pictures = (
        rects(),
        0..90_u32,
        0..90_u32,
        any::<u64>(),
        0..60_u8,
        any::<bool>(),
    )
        .prop_map(|(area, width, height, seed, amplitude, mirror)| Step::Picture {
            area,
            size: Size::new(width, height),
            seed,
            amplitude,
            mirror,
        });
    let texts = (0..40_u16, 0..16_u16, "[a-z 中文é한]{1,9}", styles())
        .prop_map(|(x, y, text, style)| Step::Text { x, y, text, style });
    prop_oneof![
        1 => sizes,
        1 => (0..5_usize).prop_map(|i| Step::Glyphs(Glyphs::ALL[i])),
        1 => proptest::option::of(0..3000_usize).prop_map(Step::Budget),
        1 => Just(Step::Invalidate),
        6 => pictures,
        6 => texts,
        2 => rects().prop_map(Step::Dim),
        1 => rects().prop_map(Step::Clear),
        1 => Just(Step::Bare),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_terminal_shows_what_was_composed(
        depth in 0..4_usize,
        is_exact in any::<bool>(),
        steps in proptest::collection::vec(steps(), 1..24),
    ) {
        let redraw = if is_exact { Redraw::EXACT } else { Redraw::default() };
        let mut rig = Rig::new(Cells::new(30, 12), DEPTHS[depth], redraw);
        let mut overlay = Overlay::new(Cells::new(30, 12));
        let mut last = None;
        let mut budget = None;
        for step in &steps {
            match step.clone() {
                Step::Resize(size) => {
                    rig.resize(size);
                    overlay.reset(size);
                }
                Step::Glyphs(glyphs) => rig.screen.set_glyphs(glyphs),
                Step::Budget(bytes) => {
                    budget = bytes;
                    rig.screen.set_budget(bytes);
                }
                Step::Invalidate => {
                    rig.terminal.process("\x1b[7;1;35m中\x1b[3;3Hstray".as_bytes());
                    rig.screen.invalidate();
                }
                Step::Picture { area, size, seed, amplitude, mirror } => {
                    last = Some((area, noisy(size, seed, amplitude), mirror));
                }
                Step::Text { x, y, text, style } => {
                    overlay.text(x, y, &text, style);
                }
                Step::Dim(area) => overlay.dim(area),
                Step::Clear(area) => overlay.clear(area),
                Step::Bare => last = None,
            }
            let compose = |screen: &mut Screen| {
                if let Some((area, picture, mirror)) = &last {
                    screen.picture(*area, picture, *mirror);
                    // A small one over it, as the own picture lies.
                    screen.picture(CellRect::new(3, 1, 7, 3), picture, !mirror);
                }
                screen.overlay(&overlay);
            };
            compose(&mut rig.screen);
            rig.show();
            prop_assert_eq!(rig.wrong(), None);
            if is_exact && budget.is_none() {
                prop_assert_eq!(rig.unlike(), None);
                compose(&mut rig.screen);
                prop_assert_eq!(rig.show(), 0, "nothing changed");
            }
        }
    }

    #[test]
    fn what_stands_still_becomes_exact(
        worth in 0..40_u16,
        glyphs in 0..4_usize,
        seeds in proptest::collection::vec(any::<u64>(), 1..6),
    ) {
        let size = Cells::new(20, 9);
        let mut rig = Rig::new(size, ColorDepth::Truecolor, Redraw { worth, bytes_per_cell: Some(8) });
        rig.screen.set_glyphs(Glyphs::ALL[glyphs]);
        let area = CellRect::new(0, 0, 20, 9);
        let show = |rig: &mut Rig, seed| {
            rig.screen.picture(area, &noisy(Size::new(20, 18), seed, 30), false);
            rig.show()
        };
        for seed in &seeds {
            show(&mut rig, *seed);
        }
        for _ in 0..SETTLED + 20 {
            show(&mut rig, seeds[0]);
        }
        prop_assert_eq!(rig.wrong(), None);
        prop_assert_eq!(rig.unlike(), None);
        for _ in 0..SETTLED {
            prop_assert_eq!(show(&mut rig, seeds[0]), 0, "nothing changed");
        }
    }
}
