//! A link as squares that a phone's camera reads (ISO/IEC 18004).

use qrcode::{Color, EcLevel, QrCode};
use url::{Host, Url};

/// The dark and light squares of a link.
#[derive(Debug, PartialEq, Eq)]
pub struct Qr {
    side: usize,
    dark: Vec<bool>,
}

impl Qr {
    /// Of a link that another device can open; `None` where it leads back to this machine, or is too long.
    pub fn of(link: &str) -> Option<Self> {
        let url = Url::parse(link).ok()?;
        let is_own = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if is_own {
            return None;
        }
        // A screen is neither torn nor dirty: the least correction makes the fewest squares.
        let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
        Some(Self {
            side: code.width(),
            dark: code
                .into_colors()
                .into_iter()
                .map(|square| square == Color::Dark)
                .collect(),
        })
    }

    /// Squares in width and in height.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Whether a square is dark; what lies around the code is light.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.side && y < self.side && self.dark[y * self.side + x]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_its_three_corners() {
        let code = Qr::of("http://192.168.1.23:7880/standup").expect("it is short");
        assert_eq!(code.side(), 29);
        // A finder is a dark ring around a light one around a dark square, and light without.
        for (x, y) in [(0, 0), (22, 0), (0, 22)] {
            let row = |dy: usize| (0..7).map(move |dx| (x + dx, y + dy));
            let is_dark = |(x, y)| code.is_dark(x, y);
            assert!(row(0).chain(row(6)).all(is_dark));
            let ring: Vec<_> = row(3).map(is_dark).collect();
            assert_eq!(ring, [true, false, true, true, true, false, true]);
        }
        assert!(!code.is_dark(7, 7) && !code.is_dark(29, 0) && !code.is_dark(0, usize::MAX));
    }

    #[test]
    fn a_link_to_this_machine_is_of_no_use_to_another() {
        for own in [
            "http://localhost:7880/a",
            "http://127.0.0.1:7880/a",
            "http://[::1]:7880/a",
            "",
        ] {
            assert_eq!(Qr::of(own), None, "{own}");
        }
        let long = format!("https://example.org/{}", "a".repeat(4000));
        assert_eq!(Qr::of(&long), None);
    }
}
