//! The encode thread: pictures and targets come in slots, encoded frames leave in a bounded queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::clock;
use super::slot::{self, Slot};
use crate::call::EncodedVideo;
use crate::call::targets::{Target, TargetId};
use crate::media::frame::{I420, Picture};
use crate::media::scale::Scaler;
use crate::media::video::{Encoder, EncoderConfig, VideoError};

/// A frame that comes this much before its time at a lowered rate is still taken: a camera's clock and
/// ours are not the same.
const EARLY: Duration = Duration::from_millis(8);

/// A running encode thread; it ends when this is dropped.
pub struct Encoding {
    pictures: Arc<Slot<I420>>,
    targets: Arc<Slot<Vec<Target>>>,
    forget: Arc<AtomicBool>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Encoding {
    /// Starts the thread. `epoch` is the call's start; a queue that is full makes a picture be left
    /// out *before* it is encoded, so that the decoder's chain never breaks.
    pub fn start(epoch: Instant, frames: mpsc::Sender<EncodedVideo>) -> Self {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let quit = Arc::new(AtomicBool::new(false));
        let forget = Arc::new(AtomicBool::new(false));
        let thread = {
            let (quit, forget) = (Arc::clone(&quit), Arc::clone(&forget));
            std::thread::Builder::new()
                .name("encode".into())
                .spawn(move || {
                    let wake = slot::unpark(std::thread::current());
                    let (pictures, targets) = (Slot::new(Arc::clone(&wake)), Slot::new(wake));
                    let _ = send.send((Arc::clone(&pictures), Arc::clone(&targets)));
                    let mut worker = Worker {
                        epoch,
                        frames,
                        encoders: BTreeMap::new(),
                        last: None,
                    };
                    while !quit.load(Ordering::Acquire) {
                        if forget.swap(false, Ordering::AcqRel) {
                            pictures.take();
                            worker.last = None;
                        }
                        worker.work(&pictures, &targets);
                        std::thread::park();
                    }
                })
                .expect("the system starts a thread")
        };
        let (pictures, targets) = receive
            .recv()
            .expect("the thread just started hands over its slots");
        Self {
            pictures,
            targets,
            forget,
            quit,
            thread: Some(thread),
        }
    }

    /// Where pictures go.
    pub fn pictures(&self) -> Arc<Slot<I420>> {
        Arc::clone(&self.pictures)
    }

    /// Forgets the last picture: who switches the camera on does not begin with what it saw long ago.
    pub fn forget(&self) {
        self.forget.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Which encoders are to run.
    pub fn set_targets(&self, targets: Vec<Target>) {
        self.targets.put(Arc::new(targets));
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

struct Worker {
    epoch: Instant,
    frames: mpsc::Sender<EncodedVideo>,
    encoders: BTreeMap<TargetId, Running>,
    last: Option<Picture>,
}

struct Running {
    target: Target,
    encoder: Encoder,
    scaler: Scaler,
    scaled: I420,
    keyframes_made: u32,
    due: Instant,
}

impl Worker {
    fn work(&mut self, pictures: &Slot<I420>, targets: &Slot<Vec<Target>>) {
        if let Some(list) = targets.take() {
            self.retarget(&list);
        }
        let fresh = pictures.take();
        let is_fresh = fresh.is_some();
        if let Some(picture) = fresh {
            self.last = Some(picture);
        }
        let Some(picture) = self.last.clone() else { return };
        let now = clock::now();
        for running in self.encoders.values_mut() {
            let keyframe = running.keyframes_made != running.target.keyframes;
            if keyframe || (is_fresh && now + EARLY >= running.due) {
                running.run(&picture, keyframe, self.epoch, now, &self.frames);
            }
        }
    }

    fn retarget(&mut self, list: &[Target]) {
        self.encoders
            .retain(|id, _| list.iter().any(|target| target.id == *id));
        for target in list {
            let result = match self.encoders.get_mut(&target.id) {
                Some(running) => running.retarget(*target),
                None => Running::new(*target).map(|running| {
                    self.encoders.insert(target.id, running);
                }),
            };
            if let Err(error) = result {
                tracing::warn!(%error, ?target, "the encoder cannot be set so");
                self.encoders.remove(&target.id);
            }
        }
    }
}

impl Running {
    fn new(target: Target) -> Result<Self, VideoError> {
        let Target {
            codec,
            size,
            bitrate,
            fps,
            ..
        } = target;
        let encoder = Encoder::new(EncoderConfig {
            codec,
            size,
            bitrate,
            fps,
        })?;
        let keyframes_made = target.keyframes.wrapping_sub(1); // the first frame is a key frame
        let scaled = I420::new(size);
        Ok(Self {
            target,
            encoder,
            scaler: Scaler::default(),
            scaled,
            keyframes_made,
            due: clock::now(),
        })
    }

    fn retarget(&mut self, target: Target) -> Result<(), VideoError> {
        if (target.bitrate, target.fps) != (self.target.bitrate, self.target.fps) {
            self.encoder.set_rate(target.bitrate, target.fps);
        }
        if target.size != self.target.size {
            self.encoder.set_size(target.size)?;
            self.scaled.resize(target.size);
        }
        self.target = target;
        Ok(())
    }

    fn run(
        &mut self,
        picture: &I420,
        keyframe: bool,
        epoch: Instant,
        now: Instant,
        frames: &mpsc::Sender<EncodedVideo>,
    ) {
        let Ok(place) = frames.try_reserve() else { return };
        let time = now.saturating_duration_since(epoch);
        let picture = if picture.size() == self.target.size {
            picture
        } else {
            self.scaler.scale(picture, &mut self.scaled);
            &self.scaled
        };
        match self.encoder.encode(picture, time, keyframe) {
            Ok(Some(encoded)) => {
                if encoded.keyframe {
                    self.keyframes_made = self.target.keyframes;
                }
                place.send(EncodedVideo {
                    target: self.target.id,
                    data: Arc::from(encoded.data),
                    keyframe: encoded.keyframe,
                    time,
                });
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a picture was not encoded"),
        }
        let step = Duration::from_secs(1) / self.target.fps.max(1);
        self.due = (self.due + step).max(now + step / 2);
    }
}
