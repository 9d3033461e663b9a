//! The services of the simulation: they answer, fail, hang and die as told, and remember all requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::deliver::{Answer, Bounds, NoAnswer, Outgoing, Target, Transport};
use crate::outcome::AttemptOutcome;

/// The behaviours of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Some requests fail.
    Flaky,
    /// Connections are refused.
    Dead,
    /// Requests are taken and never answered.
    Hanging,
    /// Some requests are answered with a wait.
    Busy,
}

/// One request that reached a service.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) at: Instant,
    pub(super) event: String,
    pub(super) body: Bytes,
    /// The status of its answer.
    pub(super) status: Option<u16>,
}

#[derive(Debug)]
struct Service {
    mood: Mood,
    came: Vec<Came>,
    under_way: usize,
    most_under_way: usize,
    /// The begin of refusing or hanging, and the attempts since.
    ill: Option<(Instant, Vec<Instant>)>,
    /// The ended times of refusing or hanging: begin, end, and the attempts.
    illnesses: Vec<(Instant, Instant, Vec<Instant>)>,
}

/// All services, by host name.
#[derive(Clone, Debug)]
pub(super) struct Services(Arc<Mutex<(BTreeMap<String, Service>, StdRng)>>);

impl Services {
    pub(super) fn new(names: &[Arc<str>], seed: u64) -> Self {
        let service = || Service {
            mood: Mood::Well,
            came: Vec::new(),
            under_way: 0,
            most_under_way: 0,
            ill: None,
            illnesses: Vec::new(),
        };
        let services = names.iter().map(|name| (name.to_string(), service())).collect();
        Self(Arc::new(Mutex::new((services, StdRng::seed_from_u64(seed)))))
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeMap<String, Service>, StdRng)> {
        self.0.lock().unwrap()
    }

    pub(super) fn set(&self, name: &str, mood: Mood) {
        let mut all = self.lock();
        let service = all.0.get_mut(name).unwrap();
        service.mood = mood;
        let is_ill = matches!(mood, Mood::Dead | Mood::Hanging);
        match (service.ill.take(), is_ill) {
            (None, true) => service.ill = Some((Instant::now(), Vec::new())),
            (Some(ill), true) => service.ill = Some(ill),
            (Some((since, tries)), false) => service.illnesses.push((since, Instant::now(), tries)),
            (None, false) => {}
        }
    }

    pub(super) fn came(&self, name: &str) -> Vec<Came> {
        self.lock().0[name].came.clone()
    }

    pub(super) fn most_under_way(&self, name: &str) -> usize {
        self.lock().0[name].most_under_way
    }

    pub(super) fn illnesses(&self, name: &str) -> Vec<(Instant, Instant, Vec<Instant>)> {
        self.lock().0[name].illnesses.clone()
    }

    fn draw(&self, upto: u64) -> u64 {
        self.lock().1.random_range(0..upto)
    }

    fn begin(&self, name: &str) -> (Mood, Running) {
        let mut all = self.lock();
        let service = all.0.get_mut(name).unwrap();
        service.under_way += 1;
        service.most_under_way = service.most_under_way.max(service.under_way);
        if let Some((_, tries)) = &mut service.ill {
            tries.push(Instant::now());
        }
        (service.mood, Running { services: self.clone(), name: name.to_owned() })
    }

    fn answered(&self, name: &str, out: &Outgoing<'_>, status: u16) {
        let event = out.headers.get("hookgate-event-id").unwrap().to_str().unwrap().to_owned();
        let came = Came { at: Instant::now(), event, body: out.body.clone(), status: Some(status) };
        self.lock().0.get_mut(name).unwrap().came.push(came);
    }
}

/// A request in flight; gone when its caller gives up.
struct Running {
    services: Services,
    name: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.services.lock().0.get_mut(&self.name).unwrap().under_way -= 1;
    }
}

fn answer(status: u16, retry_after: Option<u64>) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(secs) = retry_after {
        headers.insert("retry-after", secs.into());
    }
    Answer { status, headers, body: Bytes::from_static(b"answered"), is_whole: true }
}

#[async_trait]
impl Transport for Services {
    async fn send(&self, target: &Target, out: &Outgoing<'_>, bounds: Bounds) -> Result<Answer, NoAnswer> {
        let name = target.host.as_str();
        let (mood, _running) = self.begin(name);
        let timeout = || NoAnswer { outcome: AttemptOutcome::Timeout, detail: "late".into() };
        let slow = Duration::from_millis(self.draw(40));
        match mood {
            Mood::Dead => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                return Err(NoAnswer { outcome: AttemptOutcome::Connect, detail: "refused".into() });
            }
            Mood::Hanging => {
                tokio::time::sleep(bounds.total).await;
                return Err(timeout());
            }
            Mood::Well | Mood::Flaky | Mood::Busy => tokio::time::sleep(slow).await,
        }
        let is_poison = out.body.starts_with(b"poison");
        let (status, retry_after) = match (mood, self.draw(100)) {
            _ if is_poison => (500, None),
            (Mood::Flaky, 0..30) => (500, None),
            (Mood::Flaky, 30..35) => (410, None),
            (Mood::Busy, 0..50) => (429, Some(self.draw(5))),
            _ => (200, None),
        };
        self.answered(name, out, status);
        // The answer is lost on its way: the request has had its effect.
        if mood == Mood::Flaky && self.draw(100) < 10 {
            tokio::time::sleep(bounds.total.saturating_sub(slow)).await;
            return Err(timeout());
        }
        // The bodies of some answers do not come whole; the status counts.
        Ok(Answer { is_whole: self.draw(100) >= 5, ..answer(status, retry_after) })
    }
}
