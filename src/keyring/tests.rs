//! Tests of the ring, with a web and a clock of their own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::provider::{Row, Verifier};

const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"HdgGF78_-AutYsNnfefvHevdPFbwOTRrBmbuvsTRl3E","y":"zXVgcma9OyUSHQFA4qzmKA2c1T80Z37U2a1AOsMs46g","kid":"one","use":"sig","alg":"ES256"}"#;

/// The web of the tests.
#[derive(Debug)]
struct Web {
    answer: Mutex<Result<String, Unfetched>>,
    asked: AtomicU64,
}

#[async_trait]
impl Fetch for Web {
    async fn fetch(&self, _: Ask<'_>) -> Result<Bytes, Unfetched> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.answer.lock().unwrap().clone().map(Bytes::from)
    }
}

#[derive(Debug)]
struct Turned(AtomicU64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Scene {
    ring: Arc<Keyring>,
    _worker: JoinSet<()>,
    _stop: watch::Sender<bool>,
    web: Arc<Web>,
    clock: Arc<Turned>,
}

impl Scene {
    fn new(answer: Result<&str, Unfetched>) -> Self {
        let web = Arc::new(Web { answer: Mutex::new(answer.map(str::to_owned)), asked: AtomicU64::new(0) });
        let clock = Arc::new(Turned(AtomicU64::new(1_760_000_000_000)));
        let (fetcher, time): (Arc<dyn Fetch>, Arc<dyn Clock>) = (Arc::clone(&web) as _, Arc::clone(&clock) as _);
        let ring = Arc::new(Keyring::new(fetcher, time));
        let (mut worker, stop) = (JoinSet::new(), watch::Sender::new(false));
        worker.spawn(Arc::clone(&ring).run(stop.subscribe()));
        Self { ring, _worker: worker, _stop: stop, web, clock }
    }

    fn answers(&self, answer: Result<&str, Unfetched>) {
        *self.web.answer.lock().unwrap() = answer.map(str::to_owned);
    }

    fn turn(&self, by: Duration) {
        self.clock.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    fn asked(&self) -> u64 {
        self.web.asked.load(Ordering::Relaxed)
    }
}

/// Builds a place as a scheme knows it.
fn place(path: &str) -> KeyLocation {
    place_at("keys.example.com", path)
}

fn place_at(host: &str, path: &str) -> KeyLocation {
    let row = format!(
        "verify: {{type: jwt, from: \"header:X-T\", algorithm: ES256, claims: {{b: \"{{body|sha256hex}}\"}}, keys: {{url: \"https://{host}/{path}\", hosts: {host}, form: jwks}}}}\nsource: x\n"
    );
    let row = Row::parse(&row).unwrap();
    let verifier = Verifier::new(row.scheme().clone(), Vec::new(), BTreeMap::new()).unwrap();
    verifier.prefetch().remove(0)
}

#[tokio::test]
async fn keys_are_fetched_once_and_renewed_when_they_are_old() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("jwks"));
    assert!(matches!(scene.ring.get(&at), KeyState::NotYet));
    scene.ring.tend(std::slice::from_ref(&at)).await;
    assert!(matches!(scene.ring.get(&at), KeyState::Here(_)));
    scene.ring.tend(std::slice::from_ref(&at)).await;
    assert_eq!(scene.asked(), 1);
    scene.turn(RENEWED_AFTER);
    scene.ring.tend(std::slice::from_ref(&at)).await;
    assert_eq!(scene.asked(), 2);
}

#[tokio::test]
async fn keys_outlive_an_outage_by_a_day() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("jwks"));
    scene.ring.tend(std::slice::from_ref(&at)).await;
    scene.answers(Err(Unfetched::Unreached));
    scene.turn(Duration::from_hours(23));
    scene.ring.tend(std::slice::from_ref(&at)).await;
    assert!(matches!(scene.ring.get(&at), KeyState::Here(_)));
    scene.turn(Duration::from_hours(1));
    assert!(!matches!(scene.ring.get(&at), KeyState::Here(_)));
}

#[tokio::test]
async fn an_answer_that_is_no_key_does_not_take_the_place_of_one() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("jwks"));
    scene.ring.tend(std::slice::from_ref(&at)).await;
    scene.answers(Ok("<html>maintenance</html>"));
    scene.turn(RENEWED_AFTER);
    scene.ring.tend(std::slice::from_ref(&at)).await;
    assert_eq!(scene.asked(), 2);
    assert!(matches!(scene.ring.get(&at), KeyState::Here(_)));
}

#[tokio::test]
async fn what_is_not_there_is_not_asked_for_again_at_once() {
    let (scene, at) = (Scene::new(Err(Unfetched::Unusable)), place("made-up"));
    assert_eq!(scene.ring.fetch(&at, false).await, Err(Unfetched::Unusable));
    assert!(matches!(scene.ring.get(&at), KeyState::Refused));
    scene.turn(Duration::from_secs(59));
    assert!(matches!(scene.ring.get(&at), KeyState::Refused));
    scene.turn(Duration::from_secs(1));
    assert!(matches!(scene.ring.get(&at), KeyState::NotYet));
}

#[tokio::test]
async fn a_minute_has_a_bounded_number_of_fetches_whatever_strangers_send() {
    let scene = Scene::new(Err(Unfetched::Unusable));
    for number in 0..FETCHES_A_MINUTE.0 * 3 {
        let at = place(&format!("made-up-{number}"));
        assert!(scene.ring.fetch(&at, false).await.is_err());
    }
    assert_eq!(scene.asked(), u64::from(FETCHES_A_MINUTE.0));
    // Those at another host, and those that the configuration names, are not held up.
    assert!(scene.ring.fetch(&place_at("keys.example.net", "jwks"), false).await.is_err());
    assert!(scene.ring.fetch(&place("known"), true).await.is_err());
    assert_eq!(scene.asked(), u64::from(FETCHES_A_MINUTE.0) + 2);
    assert!(scene.ring.lock().places.len() <= PLACES_MAX);
    assert!(scene.ring.lock().flights.is_empty());
}

#[tokio::test]
async fn keys_that_are_fetched_again_for_a_message_count_against_the_minute_unless_the_file_names_them() {
    let scene = Scene::new(Ok(KEY));
    let places: Vec<_> = (0..FETCHES_A_MINUTE.0 * 2).map(|number| place(&format!("named-{number}"))).collect();
    assert_eq!(scene.ring.refresh(&places, &[]).await, Ok(true));
    assert_eq!(scene.asked(), u64::from(FETCHES_A_MINUTE.0));
    assert!(scene.ring.lock().places.values().all(|place| !place.is_known), "nothing renews them without use");
    assert_eq!(scene.ring.refresh(&places, &places).await, Ok(true));
    assert_eq!(scene.asked(), u64::from(FETCHES_A_MINUTE.0) * 2);
}

#[tokio::test]
async fn many_who_need_the_same_key_fetch_it_once() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("jwks"));
    let mut all = JoinSet::new();
    let ring = Arc::clone(&scene.ring);
    for _ in 0..20 {
        let (ring, at) = (Arc::clone(&ring), at.clone());
        all.spawn(async move { ring.fetch(&at, false).await });
    }
    while let Some(result) = all.join_next().await {
        assert_eq!(result.unwrap(), Ok(()));
    }
    assert_eq!(scene.web.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_unknown_id_has_the_keys_asked_for_again_and_not_at_once_again() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("jwks"));
    let places = std::slice::from_ref(&at);
    scene.ring.tend(places).await;
    assert_eq!(scene.ring.refresh(places, places).await, Ok(false), "they are fresh");
    scene.turn(STALE_AFTER);
    assert_eq!(scene.ring.refresh(places, places).await, Ok(true));
    assert_eq!(scene.ring.refresh(places, places).await, Ok(false));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test]
async fn a_server_that_was_down_a_moment_ago_is_not_taken_for_a_wrong_key() {
    let (scene, at) = (Scene::new(Err(Unfetched::Unreached)), place("jwks"));
    assert_eq!(scene.ring.fetch(&at, false).await, Err(Unfetched::Unreached));
    assert!(matches!(scene.ring.get(&at), KeyState::NotYet), "a 401 would be final for some senders");
    assert_eq!(scene.ring.fetch(&at, false).await, Err(Unfetched::Unreached));
    assert_eq!(scene.asked(), 1, "and it is not asked again at once");
    scene.answers(Ok(KEY));
    scene.turn(UNREACHED_FOR);
    assert_eq!(scene.ring.fetch(&at, false).await, Ok(()));
}

#[tokio::test]
async fn a_fetch_that_outlives_the_patience_of_a_request_is_not_lost() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("jwks"));
    assert_eq!(futures_now(scene.ring.fetch(&at, false)), None, "it takes its time");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !matches!(scene.ring.get(&at), KeyState::Here(_)) {
        assert!(tokio::time::Instant::now() < deadline, "the fetch was lost with who waited for it");
        tokio::task::yield_now().await;
    }
}

/// Polls once and gives up.
fn futures_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_known_place_without_keys_is_no_fault_of_the_sender() {
    let (scene, at) = (Scene::new(Err(Unfetched::Unusable)), place("jwks"));
    let places = std::slice::from_ref(&at);
    scene.ring.tend(places).await;
    assert_eq!(scene.ring.refresh(places, places).await, Err(Unfetched::Unreached));
}

#[tokio::test]
async fn what_a_stranger_named_once_is_not_renewed_for_ever() {
    let (scene, at) = (Scene::new(Ok(KEY)), place("named"));
    assert_eq!(scene.ring.fetch(&at, false).await, Ok(()));
    for _ in 0..10 {
        scene.turn(RENEWED_AFTER);
        scene.ring.tend(&[]).await;
    }
    assert_eq!(scene.asked(), 1, "nobody has used it since");
}

#[tokio::test]
async fn names_below_one_domain_share_their_fetches() {
    let scene = Scene::new(Err(Unfetched::Unusable));
    for number in 0..FETCHES_A_MINUTE.0 * 2 {
        let at = place_at(&format!("h{number}.example.com"), "jwks");
        assert!(scene.ring.fetch(&at, false).await.is_err());
    }
    assert_eq!(scene.asked(), u64::from(FETCHES_A_MINUTE.0));
}
