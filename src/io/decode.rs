//! A decode thread for each picture of a person: encoded pictures in by a short queue, raw ones out by a slot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc;

use super::clock;
use crate::call::VideoFrame;
use crate::call::control::VideoId;
use crate::media::frame::{I420, Picture, Pool};
use crate::media::video::{Decoder, VideoCodec, VideoError};
use crate::units::Size;

/// Pictures that may wait for the decoder; more is delay.
const QUEUE: usize = 8;

/// Decoded pictures that wait for their voice at most: 400 ms of them.
const MOST_HELD: usize = 24;

/// What a decode thread tells the driver.
#[derive(Debug)]
pub enum DecodeEvent {
    /// A picture of another size than before (the first one as well).
    Size(VideoId, Size),
    /// The decoder needs a key frame.
    Trouble(VideoId),
}

/// Where decoded pictures go.
pub type Show = Box<dyn FnMut(&Picture) + Send>;

/// A running decode thread; it ends by itself, after the picture it is at, when this is dropped.
pub struct Decoding {
    frames: SyncSender<VideoFrame>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// After an overflow nothing is of use until the next key frame.
    skipping: bool,
}

impl Decoding {
    /// Starts a thread for the pictures of `video`.
    pub fn start(video: VideoId, show: Show, events: mpsc::Sender<DecodeEvent>) -> Self {
        let (frames, queue) = sync_channel(QUEUE);
        let quit = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            quit: Arc::clone(&quit),
            video,
            show,
            events,
            decoder: None,
            pool: Pool::default(),
            size: None,
            held: VecDeque::new(),
        };
        let thread = std::thread::Builder::new()
            .name("decode".into())
            .spawn(move || worker.run(&queue))
            .expect("the system starts a thread");
        Self {
            frames,
            quit,
            thread: Some(thread),
            skipping: false,
        }
    }

    /// Hands over a picture. Returns false where it was dropped and a key frame is needed.
    pub fn decode(&mut self, frame: VideoFrame) -> bool {
        self.skipping &= !frame.keyframe;
        if self.skipping {
            return true;
        }
        match self.frames.try_send(frame) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.skipping = true;
                false
            }
            Err(TrySendError::Disconnected(_)) => true,
        }
    }

    /// Ends the thread and waits until it holds nothing any more: as long as one picture takes.
    pub fn finish(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Release);
    }
}

struct Worker {
    quit: Arc<AtomicBool>,
    video: VideoId,
    show: Show,
    events: mpsc::Sender<DecodeEvent>,
    decoder: Option<(VideoCodec, Decoder)>,
    pool: Pool,
    size: Option<Size>,
    /// Pictures that wait for their voice, and when it comes.
    held: VecDeque<(Instant, Picture)>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<VideoFrame>) {
        loop {
            let frame = match self.held.front() {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some((due, _)) => queue.recv_timeout(due.saturating_duration_since(clock::now())),
            };
            if self.quit.load(Ordering::Acquire) {
                return;
            }
            match frame {
                Ok(frame) => self.take(&frame),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = clock::now();
            while self.held.front().is_some_and(|(due, _)| *due <= now) {
                let (_, picture) = self.held.pop_front().expect("it was just looked at");
                self.present(&picture);
            }
        }
    }

    fn take(&mut self, frame: &VideoFrame) {
        let picture = match self.decode(frame) {
            Ok(Some(picture)) => picture,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "a picture was not decoded");
                // A fresh decoder carries no damage into the next key frame.
                self.decoder = None;
                self.tell(DecodeEvent::Trouble(self.video.clone()));
                return;
            }
        };
        if frame.hold.is_zero() {
            // What is older is not waited for any more.
            self.held.clear();
            return self.present(&picture);
        }
        let due = clock::now() + frame.hold;
        while self.held.len() >= MOST_HELD {
            self.held.pop_front();
        }
        self.held.push_back((due, picture));
    }

    fn present(&mut self, picture: &Picture) {
        (self.show)(picture);
        let size = picture.size();
        if self.size != Some(size) && self.tell(DecodeEvent::Size(self.video.clone(), size)) {
            self.size = Some(size);
        }
    }

    /// `None` where the frame shows nothing.
    fn decode(&mut self, frame: &VideoFrame) -> Result<Option<Picture>, VideoError> {
        let fits = |(codec, _): &mut (VideoCodec, Decoder)| *codec == frame.codec;
        let (_, decoder) = match self.decoder.take_if(|decoder| fits(decoder)) {
            Some(running) => self.decoder.insert(running),
            None => self.decoder.insert((frame.codec, Decoder::new(frame.codec)?)),
        };
        decoder.decode(&frame.data, &mut self.pool)
    }

    /// The queue is long enough for what is rare; what finds no room comes again with the next picture.
    fn tell(&self, event: DecodeEvent) -> bool {
        self.events.try_send(event).is_ok()
    }
}

/// Shows pictures by a slot.
pub fn to_slot(slot: Arc<crate::io::slot::Slot<I420>>) -> Show {
    Box::new(move |picture| {
        slot.put(Arc::clone(picture));
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::call::control::VideoKind;
    use crate::media::video::{Encoder, EncoderConfig};
    use crate::signal::message::PeerId;
    use crate::units::Bitrate;

    fn frame() -> VideoFrame {
        let (codec, size) = (VideoCodec::Vp8, Size::new(16, 16));
        let config = EncoderConfig {
            codec,
            size,
            bitrate: Bitrate::kbps(100),
            fps: 30,
        };
        let mut encoder = Encoder::new(config).expect("a usual configuration");
        let encoded = encoder.encode(&I420::new(size), Duration::ZERO, true);
        let encoded = encoded.expect("its size").expect("no picture is left out");
        VideoFrame {
            kind: VideoKind::Camera,
            codec,
            data: Arc::from(encoded.data),
            keyframe: true,
            time: 0,
            hold: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_queued_of_one_who_left_keeps_nobody_waiting() {
        const LIMIT: Duration = Duration::from_secs(20);
        let (shows, shown) = channel();
        let (release, released) = channel::<()>();
        let show = move |_: &Picture| {
            let _ = shows.send(());
            let _ = released.recv();
        };
        let (events, _told) = mpsc::channel(8);
        let peer = PeerId::try_from("ann".to_owned()).expect("an identity");
        let mut decoding = Decoding::start(peer.into(), Box::new(show), events);
        for _ in 0..4 {
            assert!(decoding.decode(frame()), "there is room");
        }
        shown.recv_timeout(LIMIT).expect("the first picture");
        let (ends, ended) = channel();
        std::thread::spawn(move || {
            drop(decoding);
            let _ = ends.send(());
        });
        ended
            .recv_timeout(LIMIT)
            .expect("no wait for the picture at work");
        drop(release);
        assert!(shown.recv_timeout(LIMIT).is_err(), "the others are not decoded");
    }

    #[test]
    fn a_picture_waits_for_its_voice_and_is_shown_then() {
        let (shows, shown) = channel();
        let show = move |_: &Picture| {
            let _ = shows.send(clock::now());
        };
        let (events, _told) = mpsc::channel(8);
        let peer = PeerId::try_from("ann".to_owned()).expect("an identity");
        let mut decoding = Decoding::start(peer.into(), Box::new(show), events);
        let hold = Duration::from_millis(200);
        let given = clock::now();
        for _ in 0..3 {
            assert!(decoding.decode(VideoFrame { hold, ..frame() }), "there is room");
        }
        for _ in 0..3 {
            let at = shown.recv_timeout(Duration::from_secs(20)).expect("it is shown");
            assert!(at >= given + hold, "after {:?}", at - given);
        }
    }
}
