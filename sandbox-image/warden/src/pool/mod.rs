//! Assigns cells to requests: chooses the kit, and limits how many are used at once. The submodules keep
//! standbys ready and make new ones while no code runs.

mod activity;
mod replenisher;
mod report;
mod standbys;
mod zygote_manager;

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use jail::Relocated;
use parking_lot::Mutex;
use protocol::{KitReport, LibraryImage, PoolReport, Tier};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use self::activity::{ActiveRun, ActivityGauge};
use self::replenisher::StatePublisher;
use self::report::{WaitingRequests, ZygoteState};
use self::standbys::{StandbyPool, Target};
use crate::cell::Cell;
use crate::isolation::{self, Isolation};
use crate::pool::zygote_manager::ZygoteManager;
use crate::zygote::image;
use crate::zygote::kit::Kit;
use crate::zygote::spec::ZygoteSpec;

/// The part of the cells that requests for cells that are kept leave free for others: one in this many.
const RESERVED: usize = 4;

/// Delay of TensorFlow's zygote, whose start takes seconds of CPU time. It must not delay the first requests
/// or an early shutdown.
const LAST_KIT_AFTER: Duration = Duration::from_secs(3);

/// Sizes of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Minimum number of standbys of each frequently used kit.
    pub standbys: usize,
    /// Maximum memory of standbys beyond that minimum.
    pub standby_bytes: u64,
    /// Maximum number of cells in use at once.
    pub max_cells: usize,
    /// Maximum wait of a request for a cell.
    pub queue: Duration,
    /// Number of forks, and age, after which a zygote is replaced.
    pub zygote_forks: u32,
    pub zygote_age: Duration,
}

/// Gives out cells in the order of requests.
#[derive(Debug)]
pub struct Pool {
    kinds: Arc<[KitCells]>,
    activity: Arc<ActivityGauge>,
    max_cells: usize,
    permits: Arc<Semaphore>,
    waiting: WaitingRequests,
    /// Number of cells that cells to be kept leave free.
    reserved: usize,
    queue: Duration,
    state: watch::Receiver<PoolState>,
    standard: HashSet<String>,
    /// Whether runs are reproducible. Code then always waits for a cell of its kit, because modules that it
    /// would import itself draw random numbers too.
    repeats: bool,
}

/// Cells of one kit.
#[derive(Debug)]
pub struct KitCells {
    pub kit: Kit,
    pub standbys: StandbyPool,
    /// Whether a cell has become ready.
    open: AtomicBool,
    image: Mutex<LibraryImage>,
    /// Cells that are being made.
    pub making: AtomicUsize,
    pub zygote: Mutex<Option<ZygoteState>>,
}

/// Whether a run would start at once.
#[derive(Debug, Clone)]
pub enum PoolState {
    Starting,
    Ready { isolation: Arc<Isolation> },
    Failing { why: String },
}

/// A cell and the right to use it.
#[derive(Debug)]
pub struct Taken {
    pub cell: Cell,
    _permit: OwnedSemaphorePermit,
}

/// Why no cell is available.
#[derive(Debug)]
pub enum NoCell {
    Busy,
    Failing { why: String },
}

impl Pool {
    /// Detects the strongest isolation, starts the zygotes and then keeps standbys ready, in a task that ends
    /// with the pool.
    ///
    /// `standard` are the names of the modules of Python's standard library.
    pub fn start(
        spec: ZygoteSpec,
        kits: &[Kit],
        least: Tier,
        size: Size,
        standard: HashSet<String>,
    ) -> Pool {
        let (sender, state) = watch::channel(PoolState::Starting);
        let repeats = spec.seed.is_some();
        let mut kits = kits.to_vec();
        kits.retain(|kit| kit.is_installed(&spec.python.site_packages));
        kits.sort_unstable_by_key(|kit| Kit::SERVING.iter().position(|other| other == kit));
        kits.dedup();
        if kits.is_empty() {
            kits.push(Kit::Science);
        }
        let room = size.standby_bytes / kits.len() as u64;
        let kinds: Arc<[KitCells]> =
            kits.iter().map(|kit| KitCells::new(*kit, room, &size)).collect();
        let activity = Arc::new(ActivityGauge::new());
        tokio::spawn(keep(spec, least, size, Arc::clone(&kinds), Arc::clone(&activity), sender));
        Pool {
            kinds,
            activity,
            max_cells: size.max_cells,
            permits: Arc::new(Semaphore::new(size.max_cells)),
            waiting: WaitingRequests::default(),
            reserved: size.max_cells / RESERVED,
            queue: size.queue,
            state,
            standard,
            repeats,
        }
    }

    pub fn state(&self) -> PoolState {
        self.state.borrow().clone()
    }

    /// The numbers of cells and of requests that wait for them.
    pub fn report(&self) -> PoolReport {
        let (waiting, oldest) = self.waiting.count();
        PoolReport {
            max_cells: self.max_cells as u64,
            cells_in_use: self.max_cells.saturating_sub(self.permits.available_permits()) as u64,
            cells_running: self.activity.running() as u64,
            requests_waiting: waiting as u64,
            oldest_wait_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            kits: self.kinds.iter().map(KitCells::report).collect(),
        }
    }

    /// The form of the libraries in memory, for each kit whose libraries are moved.
    pub fn images(&self) -> Vec<LibraryImage> {
        let moved = self.kinds.iter().filter(|kind| kind.kit.moves_libraries());
        moved.map(|kind| kind.image.lock().clone()).collect()
    }

    /// Waits for the first cell, or for the reason why none can be made.
    pub async fn first(&self) -> PoolState {
        let mut state = self.state.clone();
        // After the task has ended, its last state remains.
        drop(state.wait_for(|state| !matches!(state, PoolState::Starting)).await);
        state.borrow().clone()
    }

    /// Marks a run as active until the result is dropped.
    pub fn begin_run(&self) -> ActiveRun<'_> {
        self.activity.begin_run()
    }

    /// Waits until no code runs, at most for this time.
    pub async fn wait_idle(&self, at_most: Duration) {
        self.activity.wait_idle(Instant::now() + at_most).await;
    }

    /// Whether the maximum number of cells is in use.
    pub fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Returns an unused cell of the best kit for these imports, and its isolation tier.
    pub async fn take(&self, imports: &[String], more: bool) -> Result<(Taken, Tier), NoCell> {
        self.take_with(Arc::clone(&self.permits).acquire_owned(), imports, more).await
    }

    /// The same for a cell that is kept, only if enough cells are left for others.
    pub async fn take_to_keep(&self, imports: &[String]) -> Result<(Taken, Tier), NoCell> {
        if self.permits.available_permits() <= self.reserved {
            return Err(NoCell::Busy);
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| NoCell::Busy)?;
        self.take_with(std::future::ready(Ok(permit)), imports, true).await
    }

    async fn take_with(
        &self,
        permit: impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>>,
        imports: &[String],
        more: bool,
    ) -> Result<(Taken, Tier), NoCell> {
        let kit = self.kit_for(imports, more);
        let waited = tokio::time::timeout(self.queue, async {
            let mut waiting = None;
            let permit = {
                let mut permit = pin!(permit);
                match poll_fn(|context| Poll::Ready(permit.as_mut().poll(context))).await {
                    Poll::Ready(permit) => permit,
                    Poll::Pending => {
                        waiting = Some(self.waiting.begin());
                        permit.await
                    }
                }
                .ok()?
            };
            let cell = match self.take_now(kit) {
                Some(cell) => cell,
                None => {
                    waiting.get_or_insert_with(|| self.waiting.begin());
                    self.nearest(kit).standbys.take().await
                }
            };
            Some(Taken { cell, _permit: permit })
        });
        match (waited.await, self.state()) {
            (Ok(Some(taken)), PoolState::Ready { isolation }) => Ok((taken, isolation.tier)),
            (_, PoolState::Failing { why }) => Err(NoCell::Failing { why }),
            (_, _) => Err(NoCell::Busy),
        }
    }

    /// Replaces a cell that died before it had run anything.
    pub async fn replace(
        &self,
        dead: Taken,
        imports: &[String],
        more: bool,
    ) -> Result<(Taken, Cell), NoCell> {
        let Taken { cell: dead, _permit } = dead;
        let kit = self.kit_for(imports, more);
        let cell = tokio::time::timeout(self.queue, async {
            match self.take_now(kit) {
                Some(cell) => cell,
                None => self.nearest(kit).standbys.take().await,
            }
        });
        match (cell.await, self.state()) {
            (Ok(cell), _) => Ok((Taken { cell, _permit }, dead)),
            (Err(_), PoolState::Failing { why }) => Err(NoCell::Failing { why }),
            (Err(_), _) => Err(NoCell::Busy),
        }
    }

    /// If `more` code will follow, its imports are unknown.
    fn kit_for(&self, imports: &[String], more: bool) -> Kit {
        let least = if more { Kit::Science } else { Kit::Bare };
        Kit::for_imports(imports, &self.standard).max(least)
    }

    /// Returns a ready standby of this kit. If there is none, one of the science kit is better than waiting,
    /// unless other requests wait: making such a cell takes several times as long.
    fn take_now(&self, kit: Kit) -> Option<Cell> {
        let nearest = &self.nearest(kit).standbys;
        if let Some(cell) = nearest.take_now() {
            return Some(cell);
        }
        let science = self.kinds.iter().find(|kind| kind.kit == Kit::Science && kit < kind.kit)?;
        let may_lend = !self.repeats && !nearest.has_waiters() && science.standbys.is_full();
        may_lend.then(|| science.standbys.take_now()).flatten()
    }

    /// Cells of this kit, or of the most complete kit that is ready.
    fn nearest(&self, kit: Kit) -> &KitCells {
        let open = |kind: &&KitCells| self.repeats || kind.open.load(Ordering::Relaxed);
        let wanted = self.kinds.iter().filter(open).find(|kind| kind.kit == kit);
        let most = || self.kinds.iter().filter(open).max_by_key(|kind| kind.kit);
        wanted.or_else(most).unwrap_or(&self.kinds[0])
    }
}

impl KitCells {
    fn new(kit: Kit, room: u64, size: &Size) -> KitCells {
        let most = usize::try_from(room / kit.standby_bytes()).unwrap_or(usize::MAX);
        let least = if kit == Kit::TensorFlow { 1 } else { size.standbys };
        let standbys = StandbyPool::new(Target::new(least, most.min(size.max_cells)));
        let image = Mutex::new(image::at_first(kit));
        KitCells {
            kit,
            standbys,
            open: AtomicBool::new(false),
            image,
            making: AtomicUsize::new(0),
            zygote: Mutex::default(),
        }
    }

    fn report(&self) -> KitReport {
        let zygote = *self.zygote.lock();
        KitReport {
            kit: self.kit.to_string(),
            standbys: self.standbys.count() as u64,
            target: self.standbys.target() as u64,
            making: self.making.load(Ordering::Relaxed) as u64,
            zygote: zygote.map(|zygote| zygote.report()),
        }
    }

    /// A zygote has moved its libraries, or could not.
    pub fn record_image(&self, found: &Relocated) {
        if image::why_not_moved(self.kit).is_some() {
            return;
        }
        let image = image::judge(self.kit, found);
        tracing::info!(kit = image.kit, form = %image.form, detail = image.detail, "libraries in memory");
        *self.image.lock() = image;
    }

    /// A cell has become ready.
    pub fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// Makes cells until the pool is dropped.
async fn keep(
    mut spec: ZygoteSpec,
    least: Tier,
    size: Size,
    kinds: Arc<[KitCells]>,
    activity: Arc<ActivityGauge>,
    sender: watch::Sender<PoolState>,
) {
    let isolation = match isolation::find(&mut spec, least).await {
        Ok(isolation) => Arc::new(isolation),
        Err(error) => {
            sender.send_replace(PoolState::Failing { why: format!("{error:#}") });
            return; // retrying would not help
        }
    };
    let sender = Arc::new(sender);
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..kinds.len() {
        let kit = kinds[at].kit;
        let manager = ZygoteManager::new(
            ZygoteSpec { kit, ..spec.clone() },
            size.zygote_forks,
            size.zygote_age,
        );
        let publisher = (at == 0).then(|| StatePublisher {
            sender: Arc::clone(&sender),
            isolation: Arc::clone(&isolation),
        });
        let (kinds, activity, sender) =
            (Arc::clone(&kinds), Arc::clone(&activity), Arc::clone(&sender));
        tasks.spawn(async move {
            if kit == Kit::TensorFlow {
                let ready = |state: &PoolState| matches!(state, PoolState::Ready { .. });
                drop(sender.subscribe().wait_for(ready).await);
                tokio::time::sleep(LAST_KIT_AFTER).await;
            }
            replenisher::keep(manager, &kinds[at], &activity, publisher).await;
        });
    }
    // The other tasks end with this one, which ends when the pool is dropped.
    sender.closed().await;
}
