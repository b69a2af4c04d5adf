//! How many pictures a second are asked of the others: as many as the terminal takes. What cannot be shown
//! need not be sent.

/// Seconds in a row in which the terminal must show less than comes before less is asked for, and all of it
/// before twice as much is.
const SLOW_SECONDS: u32 = 3;
const GOOD_SECONDS: u32 = 2;
/// The terminal shows so much of what comes, or it is too slow.
const SHOWN: f32 = 0.75;
/// Less is never asked for.
const LEAST: u32 = 2;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    most: u32,
    fps: u32,
    slow: u32,
    good: u32,
}

impl Wanted {
    /// At most so many, which is what is asked for at first.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            fps: most,
            slow: 0,
            good: 0,
        }
    }

    /// What is asked for, where it is less than could be.
    pub fn reduced(&self) -> Option<u32> {
        (self.fps < self.most).then_some(self.fps)
    }

    /// In the last second so many pictures came, and so many were shown. Returns what is asked for from now
    /// on, where that changed.
    pub fn look(&mut self, came: f32, shown: f32) -> Option<u32> {
        let is_slow = came >= LEAST as f32 && shown < came * SHOWN;
        // However few they are: who sends them may have no more, or a line for no more.
        let is_good = shown >= came * 0.95;
        self.slow = if is_slow { self.slow + 1 } else { 0 };
        self.good = if is_good { self.good + 1 } else { 0 };
        let fps = if self.slow >= SLOW_SECONDS {
            // A little more than it shows, so that it may show more.
            (shown * 1.1).ceil() as u32 + 1
        } else if self.good >= GOOD_SECONDS {
            self.fps * 2
        } else {
            return None;
        };
        (self.slow, self.good) = (0, 0);
        let fps = fps.clamp(LEAST, self.most);
        (std::mem::replace(&mut self.fps, fps) != fps).then_some(fps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_terminal_asks_for_what_it_shows_and_for_more_when_it_shows_all() {
        let mut wanted = Wanted::new(30);
        assert_eq!([0, 1, 2].map(|_| wanted.look(30.0, 8.0)), [None, None, Some(10)]);
        assert_eq!(wanted.reduced(), Some(10));
        // It shows nearly as much as is asked for: so it stays.
        assert_eq!([0; 9].map(|_| wanted.look(10.0, 8.5)), [None; 9]);
        assert_eq!([0, 1].map(|_| wanted.look(10.0, 10.0)), [None, Some(20)]);
        assert_eq!([0, 1].map(|_| wanted.look(20.0, 20.0)), [None, Some(30)]);
        assert_eq!(wanted.reduced(), None);
    }

    #[test]
    fn all_is_asked_for_again_though_others_send_less_or_nothing() {
        for came in [0.0, 4.0, 10.0] {
            let mut wanted = Wanted::new(30);
            for _ in 0..3 {
                wanted.look(30.0, 0.0);
            }
            for _ in 0..8 {
                wanted.look(came, came);
            }
            assert_eq!(wanted.reduced(), None, "{came} a second came");
        }
    }

    #[test]
    fn a_terminal_that_stands_still_is_sent_next_to_nothing_and_few_pictures_are_no_sign() {
        let mut wanted = Wanted::new(30);
        for _ in 0..3 {
            wanted.look(30.0, 0.0);
        }
        assert_eq!(wanted.reduced(), Some(LEAST));
        let mut wanted = Wanted::new(30);
        for _ in 0..20 {
            wanted.look(1.0, 0.0);
            wanted.look(5.0, 5.0);
        }
        assert_eq!(wanted.reduced(), None);
    }
}
