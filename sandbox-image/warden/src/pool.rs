//! Cells for whoever asks: which kind, from which shelf, and how many at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protocol::Tier;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::cell::Cell;
use crate::kit::Kit;
use crate::nursery::Nursery;
use crate::recipe::Recipe;
use crate::refill::{self, Voice};
use crate::shelf::{Length, Shelf};
use crate::traffic::{Passing, Traffic};
use crate::wall::{self, Wall};

/// TensorFlow's zygote takes seconds of a processor to come up. A start that is followed by work, or by
/// an end, is not to be held up by it.
const LAST_KIT_AFTER: Duration = Duration::from_secs(3);

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Cells that wait, of each kind that is often asked for, at least.
    pub standbys: usize,
    /// Memory of cells that wait, at most, as far as it is not needed for those.
    pub standby_bytes: u64,
    /// Cells that are in use at once, at most.
    pub places: usize,
    /// How long a request may wait for a place.
    pub queue: Duration,
    /// How often a zygote is forked, and how long it serves, before another takes its place.
    pub zygote_forks: u32,
    pub zygote_age: Duration,
}

/// Cells for whoever asks, first come, first served.
#[derive(Debug)]
pub struct Pool {
    kinds: Arc<[Kind]>,
    traffic: Arc<Traffic>,
    places: Arc<Semaphore>,
    queue: Duration,
    state: watch::Receiver<State>,
    standard: HashSet<String>,
    /// Whether code gets what it would get at any other time, however long that takes: what it has to
    /// import itself throws dice as well.
    repeats: bool,
}

/// Cells of one zygote and its successors.
#[derive(Debug)]
pub struct Kind {
    pub kit: Kit,
    pub shelf: Shelf,
    /// Whether there has been a cell.
    open: AtomicBool,
}

/// Whether a run would begin at once.
#[derive(Debug, Clone)]
pub enum State {
    Starting,
    Ready { wall: Arc<Wall> },
    Failing { why: String },
}

/// A cell and the right to use it.
#[derive(Debug)]
pub struct Taken {
    pub cell: Cell,
    _place: OwnedSemaphorePermit,
}

/// Why there is no cell.
#[derive(Debug)]
pub enum NoCell {
    Busy,
    Failing { why: String },
}

impl Pool {
    /// Finds out what wall there can be, starts zygotes behind it and keeps standbys ready from then
    /// on. The task ends with the pool.
    ///
    /// `standard` are the modules that come with Python.
    pub fn start(
        recipe: Recipe,
        kits: &[Kit],
        least: Tier,
        size: Size,
        standard: HashSet<String>,
    ) -> Pool {
        let (tell, state) = watch::channel(State::Starting);
        let repeats = recipe.seed.is_some();
        let mut kits = kits.to_vec();
        kits.retain(|kit| kit.is_installed(&recipe.python.site_packages));
        kits.sort_unstable_by_key(|kit| Kit::SERVING.iter().position(|other| other == kit));
        kits.dedup();
        if kits.is_empty() {
            kits.push(Kit::Science);
        }
        let room = size.standby_bytes / kits.len() as u64;
        let kinds: Arc<[Kind]> = kits.iter().map(|kit| Kind::new(*kit, room, &size)).collect();
        let traffic = Arc::new(Traffic::new());
        tokio::spawn(keep(recipe, least, size, Arc::clone(&kinds), Arc::clone(&traffic), tell));
        Pool {
            kinds,
            traffic,
            places: Arc::new(Semaphore::new(size.places)),
            queue: size.queue,
            state,
            standard,
            repeats,
        }
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits for the first cell, or for the reason why there is none.
    pub async fn first(&self) -> State {
        let mut state = self.state.clone();
        // A pool whose task is gone has said its last word.
        drop(state.wait_for(|state| !matches!(state, State::Starting)).await);
        state.borrow().clone()
    }

    /// While a run lasts.
    pub fn pass(&self) -> Passing<'_> {
        self.traffic.pass()
    }

    /// Returns when nothing runs, and after this time at the latest.
    pub async fn let_pass(&self, at_most: Duration) {
        self.traffic.quiet(Instant::now() + at_most).await;
    }

    /// Whether all places are taken.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// A cell that has seen nobody's code, and has imported most of this; and the wall around it.
    pub async fn take(&self, imports: &[String], more: bool) -> Result<(Taken, Tier), NoCell> {
        let kit = self.kit_for(imports, more);
        let waited = tokio::time::timeout(self.queue, async {
            let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
            let cell = match self.take_now(kit) {
                Some(cell) => cell,
                None => self.nearest(kit).shelf.take().await,
            };
            Some(Taken { cell, _place: place })
        });
        match (waited.await, self.state()) {
            (Ok(Some(taken)), State::Ready { wall }) => Ok((taken, wall.tier)),
            (_, State::Failing { why }) => Err(NoCell::Failing { why }),
            (_, _) => Err(NoCell::Busy),
        }
    }

    /// Another cell in the place of one that died before it had run anything.
    pub async fn replace(
        &self,
        dead: Taken,
        imports: &[String],
        more: bool,
    ) -> Result<(Taken, Cell), NoCell> {
        let Taken { cell: dead, _place } = dead;
        let kit = self.kit_for(imports, more);
        let cell = tokio::time::timeout(self.queue, async {
            match self.take_now(kit) {
                Some(cell) => cell,
                None => self.nearest(kit).shelf.take().await,
            }
        });
        match (cell.await, self.state()) {
            (Ok(cell), _) => Ok((Taken { cell, _place }, dead)),
            (Err(_), State::Failing { why }) => Err(NoCell::Failing { why }),
            (Err(_), _) => Err(NoCell::Busy),
        }
    }

    /// Where `more` code is to follow nobody knows what it will import.
    fn kit_for(&self, imports: &[String], more: bool) -> Kit {
        let least = if more { Kit::Science } else { Kit::Bare };
        Kit::for_imports(imports, &self.standard).max(least)
    }

    /// A standby of this kit. Where there is none just now, one that has imported too much is still
    /// better than waiting, as long as there is no rush: such a one takes several times as long to make.
    fn take_now(&self, kit: Kit) -> Option<Cell> {
        let nearest = &self.nearest(kit).shelf;
        if let Some(cell) = nearest.take_now() {
            return Some(cell);
        }
        let science = self.kinds.iter().find(|kind| kind.kit == Kit::Science && kit < kind.kit)?;
        let may_lend = !self.repeats && !nearest.is_waited_for() && science.shelf.is_full();
        may_lend.then(|| science.shelf.take_now()).flatten()
    }

    /// Where cells of this kit come from, or else of one that is there.
    fn nearest(&self, kit: Kit) -> &Kind {
        let open = |kind: &&Kind| self.repeats || kind.open.load(Ordering::Relaxed);
        let wanted = self.kinds.iter().filter(open).find(|kind| kind.kit == kit);
        let most = || self.kinds.iter().filter(open).max_by_key(|kind| kind.kit);
        wanted.or_else(most).unwrap_or(&self.kinds[0])
    }
}

impl Kind {
    fn new(kit: Kit, room: u64, size: &Size) -> Kind {
        let most = usize::try_from(room / kit.standby_bytes()).unwrap_or(usize::MAX);
        let least = if kit == Kit::TensorFlow { 1 } else { size.standbys };
        let shelf = Shelf::new(Length::new(least, most.min(size.places)));
        Kind { kit, shelf, open: AtomicBool::new(false) }
    }

    /// There is a cell.
    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// Makes cells for as long as somebody could take one.
async fn keep(
    mut recipe: Recipe,
    least: Tier,
    size: Size,
    kinds: Arc<[Kind]>,
    traffic: Arc<Traffic>,
    tell: watch::Sender<State>,
) {
    let wall = match wall::find(&mut recipe, least).await {
        Ok(wall) => Arc::new(wall),
        Err(error) => {
            tell.send_replace(State::Failing { why: format!("{error:#}") });
            return; // the host will not change by itself
        }
    };
    let tell = Arc::new(tell);
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..kinds.len() {
        let kit = kinds[at].kit;
        let nursery =
            Nursery::new(Recipe { kit, ..recipe.clone() }, size.zygote_forks, size.zygote_age);
        let voice = (at == 0).then(|| Voice { tell: Arc::clone(&tell), wall: Arc::clone(&wall) });
        let (kinds, traffic, tell) = (Arc::clone(&kinds), Arc::clone(&traffic), Arc::clone(&tell));
        tasks.spawn(async move {
            if kit == Kit::TensorFlow {
                let ready = |state: &State| matches!(state, State::Ready { .. });
                drop(tell.subscribe().wait_for(ready).await);
                tokio::time::sleep(LAST_KIT_AFTER).await;
            }
            refill::keep(nursery, &kinds[at], &traffic, voice).await;
        });
    }
    // The tasks end with this one, and this one when nobody asks any more.
    tell.closed().await;
}
