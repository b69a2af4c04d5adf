//! Where the pictures are: one function that drawing, the screen thread and the viewports share.

use ratatui::layout::Rect;

use super::state::State;
use crate::call::control::VideoKind;
use crate::picture::fit;
use crate::units::{CellRect, Cells, Size};

/// The smallest terminal that is laid out.
pub const SMALLEST: Cells = Cells::new(40, 12);

/// The least columns at which the own picture is shown beside others.
const OWN_FROM_COLS: u16 = 60;

/// The least columns at which the chat stands beside the pictures; below, it lies over them.
const CHAT_FROM_COLS: u16 = 60;

/// The least columns at which small pictures stand beside a large one, and not over it.
const COLUMN_FROM_COLS: u16 = 100;

/// More of a screen is never asked for.
const LARGEST_SCREEN: Size = Size::new(1920, 1080);

/// The parts of the screen. All areas lie within the terminal and none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Everything but the bottom line and the chat beside it.
    pub stage: Rect,
    /// One for each person, in their order; together they cover the stage. While a screen is shared, the
    /// picture in front, and over or beside it those that there is room for. Empty while alone, and where
    /// the terminal is too small.
    pub tiles: Vec<Tile>,
    /// The own picture, drawn over the tiles; while alone the whole stage.
    pub own: Option<Rect>,
    /// The chat, where it is open.
    pub chat: Option<Rect>,
    /// The bottom line.
    pub status: Rect,
}

/// A person's part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Index into [`State::people`].
    pub who: usize,
    /// Which of their pictures.
    pub kind: VideoKind,
    /// Where.
    pub area: Rect,
}

impl Tile {
    /// What is to be asked for: the square pixels that are seen, with so many to a cell. Of a screen twice
    /// as many each way, where a cell has few: letters are thin, and colours come at half of it.
    pub fn pixels(&self, cell: Size) -> Size {
        let seen = pixels(self.area, cell);
        match self.kind {
            VideoKind::Screen if cell.width <= 2 => {
                Size::new(seen.width * 2, seen.height * 2).fit_into(LARGEST_SCREEN)
            }
            VideoKind::Screen => seen.fit_into(LARGEST_SCREEN),
            VideoKind::Camera => seen,
        }
    }
}

/// Lays out `state` on its terminal.
///
/// ```text
/// one person: everything        several: a grid of tiles as wide as cameras see
/// ┌────────────────────┐        ┌──────────┬─────────┐
/// │                    │        │   ann    │   bob   │
/// │        ann    ┌────┤        ├──────────┴────┬────┤
/// │               │ own│        │      cleo     │ own│
/// └───────────────┴────┘        └───────────────┴────┘
///  status                        status
/// ```
///
/// A shared screen that is in front, or whatever was put there meanwhile, is large:
///
/// ```text
/// up to 99 columns: over it             from 100 columns: beside it
/// ┌───────────────┬────┐                ┌───────────────┬─────┐
/// │               │ ann│                │               │ ann │
/// │  ann · screen └────┤                │  ann · screen ├─────┤
/// │               ┌────┤                │               │ bob │
/// │               │ own│                │               ├─────┤
/// └───────────────┴────┘                └───────────────┴ own ┘
/// ```
///
/// The chat takes the right third, and the pictures move together beside it; on a narrow terminal it
/// takes everything but the bottom line, and what lies under it stays as it was.
pub fn layout(state: &State) -> Layout {
    let Cells { cols, rows } = state.terminal;
    if state.is_bare {
        let stage = Rect::new(0, 0, cols, rows);
        return Layout {
            stage,
            tiles: grid(stage, state.people.len()),
            ..Layout::default()
        };
    }
    let status = Rect::new(0, rows.saturating_sub(1), cols, rows.min(1));
    if is_too_small(state.terminal) {
        return Layout {
            status,
            ..Layout::default()
        };
    }
    let all = Rect::new(0, 0, cols, rows - 1);
    let (stage, chat) = match state.chat.is_open {
        true if cols < CHAT_FROM_COLS => (all, Some(all)),
        true => {
            let width = cols / 3;
            let stage = Rect::new(0, 0, cols - width, rows - 1);
            (stage, Some(Rect::new(stage.right(), 0, width, rows - 1)))
        }
        false => (all, None),
    };
    let tiles = tiles(state, stage);
    let shows_own = state.me.has_camera && state.me.camera_on;
    let own = match state.people.len() {
        _ if !shows_own => None,
        0 => Some(stage),
        _ if cols < OWN_FROM_COLS => None,
        _ if state.is_presented() => Some(corner(stage, &[], state.me.picture)),
        _ => Some(corner(stage, &tiles, state.me.picture)),
    };
    Layout {
        stage,
        tiles,
        own,
        chat,
        status,
    }
}

/// Whether nothing but a word about it fits.
pub fn is_too_small(terminal: Cells) -> bool {
    terminal.cols < SMALLEST.cols || terminal.rows < SMALLEST.rows
}

/// The square pixels that are seen on `area`, with so many to a cell.
pub fn pixels(area: Rect, cell: Size) -> Size {
    Size::new(
        u32::from(area.width) * cell.width,
        u32::from(area.height) * cell.height,
    )
}

/// The lower right corner: a fifth of the width and at most a third of the height, in a grid a third
/// of the last tile's width as well, so that its middle stays free; in the shape of the picture (4:3
/// until it is known).
fn corner(stage: Rect, tiles: &[Tile], picture: Option<Size>) -> Rect {
    let picture = picture.unwrap_or(Size::new(4, 3));
    let mut bounds = Cells::new(stage.width / 5, stage.height / 3);
    if let [_, .., last] = tiles {
        bounds.cols = bounds.cols.min(last.area.width / 3).max(1);
        bounds.rows = bounds.rows.min(last.area.height / 2).max(1);
    }
    // Rounded to whole cells, a picture may fit into what it filled a little smaller once more.
    let Cells { cols, rows } = loop {
        let fitted = fit(picture, CellRect::new(0, 0, bounds.cols, bounds.rows)).size();
        if fitted == bounds {
            break fitted;
        }
        bounds = fitted;
    };
    Rect::new(stage.width - cols, stage.height - rows, cols, rows)
}

fn tiles(state: &State, stage: Rect) -> Vec<Tile> {
    if state.is_presented() {
        presented(state, stage)
    } else {
        grid(stage, state.people.len())
    }
}

/// The picture in front as large as can be. On a wide stage the others stand in a column beside it, as many
/// as there is room for; on a narrower one the face of who shares lies over its upper corner.
fn presented(state: &State, stage: Rect) -> Vec<Tile> {
    let front = (state.front, state.front_kind);
    let tile = |(who, kind), area| Tile { who, kind, area };
    let width = stage.width / 5;
    let height = (width * 3 / 4).div_ceil(2).max(1);
    if stage.width < COLUMN_FROM_COLS {
        let mut tiles = vec![tile(front, stage)];
        let face = (state.front, VideoKind::Camera);
        let has_face = state
            .people
            .get(state.front)
            .is_some_and(|p| p.has_picture(face.1));
        if stage.width >= OWN_FROM_COLS && front != face && has_face && height <= stage.height / 2 {
            let area = Rect::new(stage.right() - width, stage.y, width, height + 1);
            tiles.push(tile(face, area));
        }
        return tiles;
    }
    let height = height + 1;
    let large = Rect::new(stage.x, stage.y, stage.width - width, stage.height);
    // The lowest place is the own picture's.
    let room = usize::from((stage.height.saturating_sub(height - 1) / height).max(1));
    let others = state.videos().filter(|video| *video != front).take(room);
    let others = others.zip(0..).map(|(video, at)| {
        let area = Rect::new(large.right(), stage.y + at * height, width, height);
        tile(video, area.intersection(stage))
    });
    std::iter::once(tile(front, large)).chain(others).collect()
}

/// `count` tiles that cover `stage`: the grid in which the smallest tile shows the largest picture
/// of 3:2 (between the 4:3 and the 16:9 of cameras), the rows as equal as can be, the shorter ones
/// last and their tiles wider.
fn grid(stage: Rect, count: usize) -> Vec<Tile> {
    // A person who gets no cell has no tile; 4096 is far beyond any room.
    let count = u32::try_from(count.min(4096)).unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    let (width, height) = (u32::from(stage.width), u32::from(stage.height));
    // The width of the picture in a tile, in sixteenths of a pixel so that ties are rare.
    let shown = |rows: u32| (width * 16 / count.div_ceil(rows)).min(height * 2 * 16 / rows * 3 / 2);
    let mut rows = 1;
    for more in 2..=count.min(height) {
        if shown(more) > shown(rows) {
            rows = more;
        }
    }
    let (each, longer) = (count / rows, count % rows);
    let mut tiles = Vec::with_capacity(count as usize);
    for row in 0..rows {
        let in_row = each + u32::from(row < longer);
        let (top, bottom) = (row * height / rows, (row + 1) * height / rows);
        for column in 0..in_row {
            let (left, right) = (column * width / in_row, (column + 1) * width / in_row);
            let part = |from: u32, to: u32| (from as u16, (to - from) as u16);
            let ((x, w), (y, h)) = (part(left, right), part(top, bottom));
            let area = Rect::new(stage.x + x, stage.y + y, w, h);
            if !area.is_empty() {
                let (who, kind) = (tiles.len(), VideoKind::Camera);
                tiles.push(Tile { who, kind, area });
            }
        }
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::state::testing;

    fn of(people: usize, cols: u16, rows: u16) -> Layout {
        layout(&testing::state(people, Cells::new(cols, rows)))
    }

    #[test]
    fn one_person_has_all_but_the_bottom_line() {
        let layout = of(1, 80, 24);
        assert_eq!(
            layout.tiles,
            [Tile {
                who: 0,
                kind: VideoKind::Camera,
                area: Rect::new(0, 0, 80, 23)
            }]
        );
        assert_eq!(layout.status, Rect::new(0, 23, 80, 1));
        assert_eq!(pixels(layout.tiles[0].area, Size::new(1, 2)), Size::new(80, 46));
    }

    #[test]
    fn the_own_picture_is_small_in_the_corner_and_leaves_narrow_terminals() {
        let own = of(1, 80, 24).own.expect("80 columns show it");
        assert!(
            own.width <= 20 && own.right() == 80 && own.bottom() == 23,
            "{own}"
        );
        assert_eq!(of(1, 59, 24).own, None);
        assert_eq!(of(0, 59, 24).own, Some(Rect::new(0, 0, 59, 23)));
    }

    #[test]
    fn the_own_picture_fills_its_corner_whatever_its_shape() {
        for picture in [
            (176, 144),
            (640, 480),
            (1280, 720),
            (720, 1280),
            (3, 1000),
            (1000, 3),
        ] {
            let picture = Size::new(picture.0, picture.1);
            for (cols, rows) in [(60, 12), (80, 24), (120, 40), (200, 60), (300, 80)] {
                let mut state = testing::state(1, Cells::new(cols, rows));
                state.me.picture = Some(picture);
                let own = layout(&state).own.expect("60 columns show it");
                let area = CellRect::new(own.x, own.y, own.width, own.height);
                assert_eq!(fit(picture, area), area, "{picture:?} at {cols}x{rows}");
                assert!(own.right() == cols && own.bottom() == rows - 1 && own.width <= cols / 4);
            }
        }
    }

    #[test]
    fn a_camera_that_is_off_has_no_own_picture() {
        let mut state = testing::state(1, Cells::new(80, 24));
        state.me.camera_on = false;
        assert_eq!(layout(&state).own, None);
    }

    #[test]
    fn grids_suit_cameras() {
        let shape = |people, cols, rows| {
            let tiles = of(people, cols, rows).tiles;
            let in_rows: std::collections::BTreeSet<u16> = tiles.iter().map(|t| t.area.y).collect();
            in_rows.len()
        };
        assert_eq!(shape(2, 80, 24), 1);
        assert_eq!(shape(2, 40, 40), 2);
        assert_eq!(shape(3, 80, 24), 2);
        assert_eq!(shape(4, 80, 24), 2);
        assert_eq!(shape(8, 200, 60), 3);
        assert_eq!(shape(3, 300, 30), 1);
    }

    #[test]
    fn tiles_cover_the_stage_without_gap_or_overlap() {
        for (cols, rows) in [(40, 12), (80, 24), (81, 25), (120, 40), (300, 80), (41, 200)] {
            for people in 1..=17 {
                let layout = of(people, cols, rows);
                let mut covered = vec![0; usize::from(cols) * usize::from(rows - 1)];
                for tile in &layout.tiles {
                    for at in tile.area.positions() {
                        covered[usize::from(at.y) * usize::from(cols) + usize::from(at.x)] += 1;
                    }
                }
                assert!(covered.iter().all(|&n| n == 1), "{people} on {cols}x{rows}");
                assert_eq!(layout.tiles.len(), people);
            }
        }
    }

    #[test]
    fn a_screen_is_large_and_faces_are_small_while_it_is_shared() {
        let shared = |people, cols, rows| {
            let mut state = testing::state(people, Cells::new(cols, rows));
            state.people[0].shares = true;
            state.front_kind = VideoKind::Screen;
            layout(&state)
        };
        let areas = |layout: &Layout| layout.tiles.iter().map(|tile| tile.area).collect::<Vec<_>>();
        let small = shared(1, 80, 24);
        assert_eq!(areas(&small), [Rect::new(0, 0, 80, 23), Rect::new(64, 0, 16, 7)]);
        assert_eq!(areas(&shared(3, 50, 20)), [Rect::new(0, 0, 50, 19)]);
        let wide = shared(3, 200, 60);
        assert_eq!(wide.tiles[0].area, Rect::new(0, 0, 160, 59));
        assert_eq!(wide.tiles[0].kind, VideoKind::Screen);
        let who: Vec<_> = wide.tiles.iter().map(|tile| tile.who).collect();
        assert_eq!(who, [0, 0, 1]);
        let many = shared(8, 120, 40);
        assert!((4..8).contains(&many.tiles.len()), "as many as there is room for");
        let own = many.own.expect("120 columns show it");
        for tile in &many.tiles {
            assert!(!own.intersects(tile.area), "{own} {tile:?}");
        }
        for (cols, rows) in [(40, 12), (60, 12), (100, 12), (99, 13), (300, 12), (300, 80)] {
            for people in 1..9 {
                let layout = shared(people, cols, rows);
                let within =
                    |tile: &Tile| layout.stage.union(tile.area) == layout.stage && !tile.area.is_empty();
                assert!(
                    layout.tiles.iter().all(within),
                    "{people} at {cols}x{rows}: {layout:?}"
                );
            }
        }
    }

    #[test]
    fn no_size_and_no_crowd_panics() {
        for people in [0, 1, 2, 7, 5000] {
            let mut state = testing::state(people, Cells::default());
            for cols in (0..130).step_by(3).chain([40, u16::MAX]) {
                for rows in (0..45).chain([u16::MAX]) {
                    if people > 0 && (cols == u16::MAX || rows == u16::MAX) {
                        continue;
                    }
                    state.terminal = Cells::new(cols, rows);
                    let layout = layout(&state);
                    let all = Rect::new(0, 0, cols, rows);
                    let parts = layout.tiles.iter().map(|t| t.area).chain(layout.own);
                    assert!(
                        parts
                            .into_iter()
                            .all(|area| all.union(area) == all && !area.is_empty())
                    );
                }
            }
        }
    }
}
