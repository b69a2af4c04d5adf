//! Keeps a camera going: notices that it fell silent or was unplugged, says so once, and takes it
//! again when it returns.
//!
//! A camera's thread may block in the driver for ever, so it is watched by another: the watcher never
//! touches the device and is woken by reports and deadlines alone. A camera's thread that hangs is
//! given up; it ends by itself if the driver ever answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::{Sink, SourceEvent};
use crate::io::clock;
use crate::media::frame::{Picture, Pool};
use crate::units::Size;

/// An open camera.
pub(super) trait Capture {
    /// What it calls itself.
    fn name(&self) -> String;
    /// The size of its pictures.
    fn size(&self) -> Size;
    /// Waits for the next picture. An error is final.
    fn picture(&mut self, pool: &mut Pool) -> Result<Picture, String>;
}

/// Opens the camera, on the thread that will use it.
pub(super) type Open = Arc<dyn Fn() -> Result<Box<dyn Capture>, String> + Send + Sync>;

/// How long what may take.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    /// To open a camera and see its first picture.
    pub(super) opening: Duration,
    /// From one picture to the next.
    pub(super) silence: Duration,
    /// Before a lost camera is tried again; doubled up to ten times this.
    pub(super) retry: Duration,
}

impl Timing {
    pub(super) const USUAL: Self = Self {
        // Some cameras warm up for seconds.
        opening: Duration::from_secs(10),
        silence: Duration::from_secs(2),
        retry: Duration::from_millis(500),
    };
}

/// Runs until the source is stopped.
pub(super) fn watch(sink: &Arc<Sink>, open: &Open, timing: Timing) {
    let mut watcher = Watcher {
        sink,
        timing,
        size: None,
        lost: false,
        retry: timing.retry,
    };
    while sink.wait_for_on() {
        let changes = sink.changes();
        match watcher.round(open) {
            End::Unwanted => {}
            End::Failed(why) if watcher.size.is_none() => {
                sink.tell(SourceEvent::Failed(why));
                // Turning the camera off and on tries again.
                sink.wait_until(None, changes);
            }
            End::Failed(why) => {
                if !watcher.lost {
                    sink.tell(SourceEvent::Lost(format!(
                        "{why}; it is used again when it returns"
                    )));
                }
                watcher.lost = true;
                sink.wait_until(Some(clock::now() + watcher.retry), changes);
                watcher.retry = (watcher.retry * 2).min(timing.retry * 10);
            }
        }
    }
}

struct Watcher<'a> {
    sink: &'a Arc<Sink>,
    timing: Timing,
    /// The size of the pictures, once there was one.
    size: Option<Size>,
    lost: bool,
    retry: Duration,
}

/// How the camera's time ended.
enum End {
    /// The owner turned it off or dropped it.
    Unwanted,
    Failed(String),
}

impl Watcher<'_> {
    /// Opens the camera once and watches it until its end.
    fn round(&mut self, open: &Open) -> End {
        let (reports, inbox) = sync_channel(2);
        let round = Arc::new(Round {
            given_up: AtomicBool::new(false),
            pictures: AtomicU64::new(0),
            watcher: std::thread::current(),
        });
        let thread = std::thread::Builder::new()
            .name("camera".to_owned())
            .stack_size(512 * 1024)
            .spawn({
                let (round, sink, open) = (Arc::clone(&round), Arc::clone(self.sink), Arc::clone(open));
                move || {
                    let report = Reporter {
                        reports: Some(reports),
                        watcher: round.watcher.clone(),
                    };
                    capture(&round, &sink, &*open, &report);
                }
            });
        if let Err(e) = thread {
            return End::Failed(format!("cannot start the camera's thread: {e}"));
        }
        let end = self.until_the_end(&round, &inbox);
        round.given_up.store(true, Ordering::Release);
        // The device is free for the next round once its thread has ended.
        wait_for_end(&inbox, clock::now() + self.timing.silence);
        end
    }

    fn until_the_end(&mut self, round: &Round, inbox: &Receiver<Report>) -> End {
        let mut deadline = clock::now() + self.timing.opening;
        let mut seen = 0;
        let mut camera = None;
        loop {
            let failure = match inbox.try_recv() {
                Ok(Report::Opened(name, size)) => {
                    camera = Some((name, size));
                    None
                }
                Ok(Report::Failed(why)) => Some(why),
                Err(TryRecvError::Disconnected) => Some("the camera's driver broke down".to_owned()),
                Err(TryRecvError::Empty) => None,
            };
            if self.sink.is_stopped() || !self.sink.is_on() {
                return End::Unwanted;
            }
            // What a camera showed before it failed counts, however late it is looked at.
            let (now, pictures) = (clock::now(), round.pictures.load(Ordering::Acquire));
            if pictures != seen {
                if seen == 0 {
                    self.greet(camera.take());
                }
                seen = pictures;
                deadline = now + self.timing.silence;
            }
            if let Some(why) = failure {
                return End::Failed(why);
            }
            match deadline.checked_duration_since(now) {
                Some(rest) if !rest.is_zero() => std::thread::park_timeout(rest),
                _ => return End::Failed("the camera sends no pictures".to_owned()),
            }
        }
    }

    /// Tells the owner of a round's first picture, where that is news.
    fn greet(&mut self, camera: Option<(String, Size)>) {
        let Some((name, size)) = camera else { return };
        if self.lost {
            self.sink.tell(SourceEvent::Back { size });
        } else if self.size != Some(size) {
            self.sink.tell(SourceEvent::Ready { name, size });
        }
        self.size = Some(size);
        self.lost = false;
        self.retry = self.timing.retry;
    }
}

fn wait_for_end(inbox: &Receiver<Report>, deadline: Instant) {
    while !matches!(inbox.try_recv(), Err(TryRecvError::Disconnected)) {
        match deadline.checked_duration_since(clock::now()) {
            Some(rest) if !rest.is_zero() => std::thread::park_timeout(rest),
            _ => return,
        }
    }
}

/// What watcher and camera share while the camera is open.
struct Round {
    /// The watcher wants no more of this.
    given_up: AtomicBool,
    /// Pictures so far.
    pictures: AtomicU64,
    watcher: Thread,
}

enum Report {
    Opened(String, Size),
    Failed(String),
}

/// Wakes the watcher with each report, and when it is dropped.
struct Reporter {
    reports: Option<SyncSender<Report>>,
    watcher: Thread,
}

impl Reporter {
    fn send(&self, report: Report) {
        if let Some(reports) = &self.reports {
            // There is room for both reports a round can make.
            let _ = reports.try_send(report);
        }
        self.watcher.unpark();
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.reports = None;
        self.watcher.unpark();
    }
}

/// The camera's thread: pictures go straight to the slots.
fn capture(
    round: &Round,
    sink: &Sink,
    open: &dyn Fn() -> Result<Box<dyn Capture>, String>,
    report: &Reporter,
) {
    let mut camera = match open() {
        Ok(camera) => camera,
        Err(why) => return report.send(Report::Failed(why)),
    };
    report.send(Report::Opened(camera.name(), camera.size()));
    let mut pool = Pool::default();
    loop {
        let picture = camera.picture(&mut pool);
        if round.given_up.load(Ordering::Acquire) {
            return;
        }
        match picture {
            Ok(picture) => sink.put(&picture),
            Err(why) => return report.send(Report::Failed(why)),
        }
        if round.pictures.fetch_add(1, Ordering::AcqRel) == 0 {
            round.watcher.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::super::{Control, Source, SourceEvent};
    use super::*;
    use crate::io::slot::Slot;
    use crate::media::frame::I420;

    /// Nothing but what the camera does ends it, however slow this machine is.
    const PATIENT: Timing = Timing {
        opening: Duration::from_secs(20),
        silence: Duration::from_secs(20),
        retry: Duration::from_millis(1),
    };

    const QUICK: Timing = Timing {
        silence: Duration::from_millis(50),
        ..PATIENT
    };

    const SMALL: Size = Size::new(16, 16);
    const LARGE: Size = Size::new(32, 18);

    /// What a camera that is opened does.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Script {
        /// It is not there.
        Absent,
        /// So many pictures, then it is unplugged.
        Pictures(u32),
        /// One picture, and then the driver answers no more.
        Hangs,
        /// Pictures for ever.
        Works,
        /// Larger ones for ever.
        Large,
    }

    struct Fake {
        script: Script,
        /// Held while the camera is open.
        _open: Arc<()>,
        count: u32,
    }

    impl Capture for Fake {
        fn name(&self) -> String {
            "fake".to_owned()
        }

        fn size(&self) -> Size {
            match self.script {
                Script::Large => LARGE,
                _ => SMALL,
            }
        }

        fn picture(&mut self, pool: &mut Pool) -> Result<Picture, String> {
            self.count += 1;
            match self.script {
                Script::Hangs if self.count > 1 => loop {
                    std::thread::park();
                },
                Script::Pictures(n) if self.count > n => Err("unplugged".to_owned()),
                _ => {
                    std::thread::park_timeout(Duration::from_millis(1));
                    Ok(pool.make(self.size(), |_: &mut I420| ()))
                }
            }
        }
    }

    struct Rig {
        source: Option<Source>,
        events: mpsc::Receiver<SourceEvent>,
        /// Held by every camera that is open.
        open: Arc<()>,
    }

    /// A watched camera that follows `scripts` one after the other, then works.
    fn rig(scripts: &[Script], timing: Timing) -> Rig {
        let scripts: Mutex<VecDeque<Script>> = Mutex::new(scripts.iter().copied().collect());
        let (sender, events) = mpsc::channel(8);
        let control = Arc::new(Control::default());
        let slot = Slot::new(Arc::new(|| ()));
        let sink = Arc::new(Sink {
            outputs: vec![slot],
            events: sender,
            control: Arc::clone(&control),
        });
        let open = Arc::new(());
        let held = Arc::clone(&open);
        let make: Open = Arc::new(move || {
            let script = scripts
                .lock()
                .expect("no panic")
                .pop_front()
                .unwrap_or(Script::Works);
            match script {
                Script::Absent => Err("no camera found".to_owned()),
                script => Ok(Box::new(Fake {
                    script,
                    _open: Arc::clone(&held),
                    count: 0,
                })),
            }
        });
        let thread = std::thread::spawn(move || watch(&sink, &make, timing));
        Rig {
            source: Some(Source {
                control,
                thread: Some(thread.thread().clone()),
            }),
            events,
            open,
        }
    }

    impl Rig {
        fn event(&mut self) -> Option<SourceEvent> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime");
            let event = async { tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await };
            runtime.block_on(event).expect("an event or the end in time")
        }

        fn ready(&mut self) {
            self.ready_with(SMALL);
        }

        fn ready_with(&mut self, size: Size) {
            let ready = SourceEvent::Ready {
                name: "fake".to_owned(),
                size,
            };
            assert_eq!(self.event(), Some(ready));
        }

        fn set_on(&self, on: bool) {
            self.source.as_ref().expect("not ended").set_on(on);
        }

        /// Waits until this many cameras are open.
        fn open_cameras(&self, count: usize) {
            let deadline = clock::now() + Duration::from_secs(20);
            // The rig and its maker hold one each.
            while Arc::strong_count(&self.open) - 2 != count {
                assert!(
                    clock::now() < deadline,
                    "{} cameras are open",
                    Arc::strong_count(&self.open) - 2
                );
                std::thread::yield_now();
            }
        }

        fn end(mut self) {
            self.source = None;
            assert_eq!(self.event(), None, "the threads have ended");
            let deadline = clock::now() + Duration::from_secs(20);
            while Arc::strong_count(&self.open) > 1 {
                assert!(clock::now() < deadline, "a camera stays open");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_camera_that_is_unplugged_is_lost_once_and_comes_back_once() {
        let mut rig = rig(
            &[Script::Pictures(3), Script::Absent, Script::Absent, Script::Large],
            PATIENT,
        );
        rig.ready();
        assert_eq!(
            rig.event(),
            Some(SourceEvent::Lost(
                "unplugged; it is used again when it returns".to_owned()
            ))
        );
        assert_eq!(rig.event(), Some(SourceEvent::Back { size: LARGE }));
        rig.end();
    }

    #[test]
    fn a_camera_that_falls_silent_is_given_up_and_taken_anew() {
        let mut rig = rig(&[Script::Hangs], QUICK);
        rig.ready();
        assert_eq!(
            rig.event(),
            Some(SourceEvent::Lost(
                "the camera sends no pictures; it is used again when it returns".to_owned()
            ))
        );
        assert_eq!(rig.event(), Some(SourceEvent::Back { size: SMALL }));
        rig.open_cameras(2);
    }

    #[test]
    fn without_a_camera_there_is_one_line_and_another_try_when_turned_on() {
        let mut rig = rig(&[Script::Absent], PATIENT);
        assert_eq!(
            rig.event(),
            Some(SourceEvent::Failed("no camera found".to_owned()))
        );
        rig.set_on(false);
        rig.set_on(true);
        rig.ready();
        rig.end();
    }

    #[test]
    fn another_camera_in_its_place_is_told_with_its_size() {
        let mut rig = rig(&[Script::Works, Script::Large], PATIENT);
        rig.ready();
        rig.set_on(false);
        rig.open_cameras(0);
        rig.set_on(true);
        rig.ready_with(LARGE);
        rig.end();
    }

    #[test]
    fn turned_off_the_camera_is_closed_and_turned_on_it_is_open_again() {
        let mut rig = rig(&[], PATIENT);
        rig.ready();
        for _ in 0..3 {
            rig.open_cameras(1);
            rig.set_on(false);
            rig.open_cameras(0);
            rig.set_on(true);
        }
        rig.open_cameras(1);
        rig.end();
    }
}
