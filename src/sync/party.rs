//! A process's membership: joining, leaving, what it owns, and what becomes of it in a child made by fork.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{null_mut, NonNull};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::barrier;
use super::keeper::{Control, Keeper, NODES_MAX};
use super::lock::{TM, W};
use super::nodes::{Node, Nodes};
use super::object::{Head, Kind};
use super::settle::Identity;
use super::steps::step;
use super::table::{Header, Shape, Slot, Table, EXTRA, MAGIC, MARK, PRESENCE};
use super::wait::{self, Wake};
use super::watcher;
use crate::deadline::Deadline;
use crate::error::{Code, During, Error, Result, SHMKIT_E_UNSEALED};
use crate::region::{self, Flags, Region};
use crate::sys::{futex, thread, Errno};

bitflags::bitflags! {
    /// How to join: SHMKIT_PARTY_… of the header.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PartyFlags: u32 {
        /// Whoever locks may go on in another thread (a goroutine, a task): a thread that locks what it has locked
        /// itself waits, instead of EDEADLK.
        const ANY_THREAD = 1;
        /// Join although the memory can be taken away (files, POSIX objects, huge pages). One page that is gone
        /// is SIGBUS for whoever uses it, and the locks that a dying process holds may stay locked.
        const CAN_SHRINK = 2;
    }
}

/// How to join; the default is what most callers want.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartyOptions {
    pub flags: PartyFlags,
    /// How many processes can be in a party that is made now; 0 means 64. A found table has its own.
    pub slots: u32,
    /// How many objects can count by process (rwlocks, barriers, tracked semaphores); 0 means 32.
    pub cells: u32,
}

/// This process's place among those who use the locks of a region.
///
/// The kernel gives it up when the process dies, in whatever way, and with it all that the process holds. A
/// thread of the library keeps it: see [`sync`](super).
///
/// Dropping it leaves the party. Where the process still holds a lock, it stays for good, and the region with
/// it: [`Party::leave`] tells.
// The pointer is the handle that C has.
#[repr(transparent)]
pub struct Party<'r>(NonNull<State>, PhantomData<&'r Region>);

// SAFETY (protocol): what is in it is atomic, or never changes.
unsafe impl Send for Party<'_> {}
unsafe impl Sync for Party<'_> {}
unsafe impl Send for State {}
unsafe impl Sync for State {}

/// What is behind the handle. The first three are all that a lock that nobody else wants needs.
pub(crate) struct State {
    base: *const u8,
    mirror: *const u8,
    /// In bytes: the region's size, as we last heard.
    limit: AtomicUsize,
    flags: PartyFlags,
    table: Table,
    /// In the region.
    table_offset: usize,
    nodes: Nodes,
    /// Engaged: it stays until we dismiss it.
    region: NonNull<region::State>,
    /// The same, where it is the party's own, and ends with it.
    own_region: Option<NonNull<Region>>,
}

impl PartyFlags {
    /// The caller's bits; EINVAL names those that mean nothing.
    pub fn from_raw(bits: u32) -> Result<PartyFlags> {
        PartyFlags::from_bits(bits).ok_or_else(|| {
            let unknown = bits & !PartyFlags::all().bits();
            Error::new(Errno::EINVAL, format!("unknown party flags: {unknown:#x}"))
        })
    }
}

impl<'r> Party<'r> {
    /// Joins the party whose table is at this offset, which is made where there are zeros. EINVAL for other
    /// bytes; ENOLCK where no slot is free, or the kernel has no thread for us.
    pub fn join(region: &'r Region, offset: usize, options: &PartyOptions) -> Result<Party<'r>> {
        let tried = || format!("cannot join a party at offset {offset} of {}", region.describe());
        let failed = |code: Code, why: String| Error::new(code, format!("{}: {why}", tried()));
        let refused = |code, why| Err(failed(code, why));
        let invalid = |why| refused(Errno::EINVAL.into(), why);
        if !region.rights().writable() {
            return refused(Errno::EACCES.into(), "it is read-only".to_string());
        }
        if region.options().flags.contains(Flags::PRIVATE) {
            return invalid("it is private, and nobody else sees what is written to it".to_string());
        }
        if region.can_shrink() && !options.flags.contains(PartyFlags::CAN_SHRINK) {
            let why = "its memory can be taken away, and with it the locks (PARTY_CAN_SHRINK allows it)";
            return refused(Code::from_raw(SHMKIT_E_UNSEALED), why.to_string());
        }
        let Some(wanted) = Shape::new(options.slots, options.cells) else {
            let (slots, cells) = (options.slots, options.cells);
            return invalid(format!("{slots} slots and {cells} cells: at most 4096 of each"));
        };
        if offset % 8 != 0 {
            return invalid("not a multiple of 8".to_string());
        }
        if region.size().checked_sub(offset).is_none_or(|room| room < size_of::<Header>()) {
            return invalid(format!("it has {} bytes", region.size()));
        }
        let start = region.as_ptr().wrapping_add(offset).cast_const();
        let room = region.size() - offset;
        // SAFETY: the header is inside the region, which is writable.
        let shape = unsafe { found_or_made(start, wanted, room) }.map_err(|(code, why)| failed(code, why))?;
        let asked = |number: u32, has: u32| number == 0 || number == has;
        if !asked(options.slots, shape.slots) || options.cells > shape.cells {
            let (slots, cells) = (shape.slots, shape.cells);
            return invalid(format!("its table has {slots} slots and {cells} cells, not those asked for"));
        }

        let nodes = Nodes::reserve(region.size_max())
            .during(|| format!("{}: no {} bytes of addresses for it", tried(), region.size_max()))?;
        region.engage();
        let state = Box::new(State {
            base: region.as_ptr(),
            mirror: nodes.mirror(),
            limit: AtomicUsize::new(region.size()),
            flags: options.flags,
            // SAFETY: it is inside the region, which stays.
            table: unsafe { Table::new(region, start, shape) },
            table_offset: offset,
            nodes,
            region: NonNull::from(&**region),
            own_region: None,
        });
        let joined = {
            let control = state.control();
            let _held = control.hold();
            state.new_keeper(control, Patience::until(Deadline::NEVER)).map(drop)
        };
        match joined {
            Ok(()) => Ok(Party(NonNull::from(Box::leak(state)), PhantomData)),
            Err(error) => {
                region.dismiss();
                refused(error.code(), error.to_string())
            }
        }
    }

    /// Joins a party in a region that nobody else has, and which ends with the membership.
    pub(super) fn join_with(region: Region, offset: usize, options: &PartyOptions) -> Result<Party<'static>> {
        // From here on it moves no more.
        let region = NonNull::from(Box::leak(Box::new(region)));
        // SAFETY: our own; it goes in leave_code(), or below.
        match Party::join(unsafe { region.as_ref() }, offset, options) {
            Ok(mut party) => {
                // SAFETY: ours alone until it is returned.
                unsafe { party.0.as_mut() }.own_region = Some(region);
                Ok(party)
            }
            Err(error) => {
                // SAFETY: nobody has joined.
                drop(unsafe { Box::from_raw(region.as_ptr()) });
                Err(error)
            }
        }
    }

    /// Gives up the membership. EBUSY where this process has something through it (a mutex, a read-write lock, units
    /// of a tracked semaphore, a once that it has begun), or a watch waits for something in the region: then it
    /// stays for good.
    pub fn leave(mut self) -> Result<()> {
        self.leave_code()
            .map_err(|code| Error::new(code, "cannot leave the party: a lock is held through it, or watched"))
    }

    /// What is dropped afterwards has nothing left to do.
    pub(crate) fn leave_code(&mut self) -> Result<(), Code> {
        self.state().retire()?;
        // SAFETY: our own box; nobody uses the handle any more.
        let state = unsafe { Box::from_raw(self.0.as_ptr()) };
        // SAFETY: engaged until here.
        unsafe { state.region.as_ref() }.dismiss();
        if let Some(region) = state.own_region {
            // SAFETY: join_with()'s; nobody uses it any more.
            drop(unsafe { Box::from_raw(region.as_ptr()) });
        }
        self.0 = NonNull::dangling();
        Ok(())
    }

    pub(crate) fn state(&self) -> &State {
        // SAFETY: ours until the party is left.
        unsafe { self.0.as_ref() }
    }

    /// The processes that are here now, by their numbers in their own PID namespaces.
    pub fn members(&self) -> Vec<u32> {
        let table = &self.state().table;
        let slots = (0..table.used()).map(|index| table.slot(index));
        let first = slots.filter(|slot| slot.flags.load(Ordering::Relaxed) & EXTRA == 0);
        first
            .filter(|slot| slot.owner().is_some())
            .map(|slot| slot.identity.load(Ordering::Acquire) as u32)
            .collect()
    }

    /// A number that changes when somebody joins, leaves or dies. To be read before the bytes that are waited
    /// for, and given to [`Party::wait`].
    pub fn changes(&self) -> u32 {
        self.state().changes()
    }

    /// Sleeps while the word has this value and nobody of the party has joined, left or died since `seen`: what
    /// [`Party::changes`] was before the caller looked at the bytes that it waits for.
    pub fn wait(&self, word: &AtomicU32, value: u32, seen: u32, deadline: Deadline) -> Result<Wake, Code> {
        self.state().watch(word, value, seen, deadline)
    }

    /// The word of 32 bits at this address, for calls that do not explain.
    pub(crate) fn word_known(&self, at: *const u8) -> Result<&AtomicU32, Code> {
        if !self.state().has_word(at) {
            return Err(Errno::EINVAL.into());
        }
        // SAFETY: inside the region, which stays, and aligned; processes meet there by atomics.
        Ok(unsafe { &*at.cast() })
    }

    /// Wakes so many of those who sleep on a word of the region, and tells how many it was.
    pub fn wake(&self, word: &AtomicU32, count: u32) -> Result<usize, Code> {
        Ok(futex::wake(word, i32::try_from(count).unwrap_or(i32::MAX))?)
    }
}

impl Drop for Party<'_> {
    fn drop(&mut self) {
        if self.0 != NonNull::dangling() {
            // Nobody is left to be told; what is held stays held.
            let _ = self.leave_code();
        }
    }
}

impl fmt::Debug for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Party")
            .field("offset", &state.table_offset)
            .field("slots", &state.table.shape.slots)
            .finish_non_exhaustive()
    }
}

/// The table's shape, its own or the wanted one.
///
/// # Safety
/// A header at `start`, and `room` bytes, are mapped for writing.
unsafe fn found_or_made(start: *const u8, wanted: Shape, room: usize) -> Result<Shape, (Code, String)> {
    // SAFETY: the caller's promise; all fields are atomic.
    let header = unsafe { &*start.cast::<Header>() };
    let invalid = |why: String| Err((Errno::EINVAL.into(), why));
    let fits = |shape: Shape| match shape.size() <= room {
        true => Ok(shape),
        false => invalid(format!("a table of {} bytes, and there are {room}", shape.size())),
    };
    let found = |magic: u64| match Shape::of(header.shape.load(Ordering::Acquire)) {
        _ if magic != MAGIC => invalid(format!("the magic there is {magic:#018x}: no table, and no zeros")),
        None => invalid("the table there has an impossible shape".to_string()),
        Some(shape) => fits(shape),
    };
    match header.magic.load(Ordering::Acquire) {
        0 => {}
        magic => return found(magic),
    }
    fits(wanted)?;
    let shape = header.shape.load(Ordering::Acquire);
    let first = std::mem::offset_of!(Header, changes);
    // SAFETY: inside the table.
    let byte =
        |at: usize| unsafe { (*start.add(at).cast::<std::sync::atomic::AtomicU8>()).load(Ordering::Relaxed) };
    if (shape != 0 && shape != wanted.bits()) || (first..wanted.size()).any(|at| byte(at) != 0) {
        // Another may have made it meanwhile, and joined.
        return match header.magic.load(Ordering::Acquire) {
            0 => invalid("the bytes there are neither zeros nor a table".to_string()),
            magic => found(magic),
        };
    }
    let stored = header.shape.compare_exchange(0, wanted.bits(), Ordering::AcqRel, Ordering::Acquire);
    if stored.is_err_and(|shape| shape != wanted.bits()) {
        return found(MAGIC);
    }
    step("table.shaped");
    match header.magic.compare_exchange(0, MAGIC, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(wanted),
        Err(magic) => found(magic),
    }
}

impl State {
    #[inline(always)]
    fn control(&self) -> &Control {
        // SAFETY: the reservation is ours, begins with it, and is zeros where nothing was written.
        unsafe { &*self.nodes.control() }
    }

    /// The node of a word at this offset, which is inside the region and 8-aligned.
    #[inline(always)]
    pub(super) fn node(&self, offset: usize) -> &Node {
        debug_assert!(offset % 8 == 0 && offset < self.limit.load(Ordering::Relaxed));
        // SAFETY: the mirror is as long as the region can become, and readable; writable where tid is not 0.
        unsafe { &*self.mirror.add(offset).cast() }
    }

    #[inline(always)]
    pub(super) fn offset(&self, at: *const u8) -> usize {
        (at as usize).wrapping_sub(self.base as usize)
    }

    /// Whether so many bytes from an address on are in the region, as far as we know its size, and it is a
    /// multiple of 8.
    #[inline(always)]
    pub(super) fn is_inside(&self, at: *const u8, size: usize) -> bool {
        // A table is larger than any object, so this is never below 0.
        let last = self.limit.load(Ordering::Relaxed) - size;
        // One comparison for both: what is no multiple of 8 becomes a huge number.
        self.offset(at).rotate_right(3) <= last / 8
    }

    /// Where it is, if it is.
    pub(super) fn offset_of(&self, at: *const u8, size: usize) -> Option<usize> {
        match self.is_inside(at, size) {
            true => Some(self.offset(at)),
            false => self.look_again(self.offset(at), size),
        }
    }

    #[cold]
    fn look_again(&self, offset: usize, size: usize) -> Option<usize> {
        // SAFETY: engaged.
        let limit = unsafe { self.region.as_ref() }.size_now();
        self.limit.store(limit, Ordering::Relaxed);
        (offset <= limit - size && offset % 8 == 0).then_some(offset)
    }

    /// Whether a word of 32 bits lies there.
    pub(super) fn has_word(&self, at: *const u8) -> bool {
        // Rounded down to where an object could be.
        let (at, size) = (at as usize, size_of::<u64>());
        at % size_of::<u32>() == 0 && self.offset_of((at & !(size - 1)) as *const u8, size).is_some()
    }

    /// The same with the sentence, for an object.
    pub(super) fn place(&self, at: *const u8, kind: &Kind) -> Result<(&State, usize)> {
        self.offset_of(at, kind.size).map(|offset| (self, offset)).ok_or_else(|| {
            let offset = self.offset(at) as isize;
            let (size, limit) = (kind.size, self.limit.load(Ordering::Relaxed));
            let message = format!(
                "no {} at offset {offset}: it takes {size} bytes at a multiple of 8, in a region of {limit}",
                kind.name
            );
            Error::new(Errno::EINVAL, message)
        })
    }

    /// What is at an offset that [`State::offset_of`] has seen.
    #[inline(always)]
    pub(super) fn at<T>(&self, offset: usize) -> *const T {
        self.base.wrapping_add(offset).cast()
    }

    /// Where the table is from an object on: the same in every process.
    pub(super) fn table_from(&self, offset: usize) -> i64 {
        self.table_offset as i64 - offset as i64
    }

    pub(super) fn any_thread(&self) -> bool {
        self.flags.contains(PartyFlags::ANY_THREAD)
    }

    /// Makes the zeros at this offset an object, or finds it: whether it was made.
    pub(super) fn make(&self, offset: usize, kind: &Kind, fill: impl FnOnce() -> Result<()>) -> Result<bool> {
        let table = self.table_offset..self.table_offset + self.table.shape.size();
        if offset < table.end && table.start < offset + kind.size {
            let message = format!("a {} at offset {offset} would lie in the party's table", kind.name);
            return Err(Error::new(Errno::EINVAL, message));
        }
        // SAFETY: inside the region, and aligned.
        unsafe { Head::make(self.at(offset), kind, self.table_from(offset), fill) }
    }

    /// The cell of an object: the one that it has, or a new one.
    pub(super) fn allot(&self, offset: usize, kind: &Kind) -> Result<u32> {
        self.table.allot(-self.table_from(offset)).ok_or_else(|| {
            let cells = self.table.shape.cells;
            let why = format!("no cell for a {} at offset {offset}: all {cells} are taken", kind.name);
            Error::new(Errno::ENOLCK, why)
        })
    }

    /// Whether a cell's number, which a peer may have written, is the object's.
    pub(super) fn has_cell(&self, offset: usize, cell: u32) -> bool {
        let object = (cell < self.table.shape.cells).then(|| self.table.object(cell));
        object.is_some_and(|object| object.load(Ordering::Acquire) == -self.table_from(offset))
    }

    /// The object of this kind that counts in a cell, as the table says: None where there is none.
    pub(super) fn object_of(&self, cell: u32, kind: &Kind) -> Option<usize> {
        let from_table = self.table.object(cell).load(Ordering::Acquire) as usize;
        let at = self.base.wrapping_add(self.table_offset.wrapping_add(from_table));
        let offset = self.offset_of(at, kind.size)?;
        // SAFETY: inside the region, and aligned; all fields are atomic.
        let head = unsafe { &*self.at::<Head>(offset) };
        head.is(kind, self.table_from(offset)).then_some(offset)
    }

    /// The number of the keeper that has this word on its list, which it now has if it had not. For a word that
    /// begins an object of this kind: EINVAL where there is none.
    #[cold]
    pub(super) fn enlist(&self, offset: usize, kind: &Kind, patience: Patience) -> Result<u32, Code> {
        // SAFETY: inside the region, and aligned; all fields are atomic.
        let head = unsafe { &*self.at::<Head>(offset) };
        if !head.is(kind, self.table_from(offset)) {
            return Err(Errno::EINVAL.into());
        }
        let control = self.control();
        let _held = control.hold();
        let node = self.node(offset);
        if node.tid() != 0 {
            return Ok(node.tid());
        }
        let keepers = control.keepers.load(Ordering::Relaxed);
        let last = keepers.checked_sub(1).map(|last| &control.keeper[last as usize]);
        let keeper = match last.filter(|keeper| keeper.count.load(Ordering::Relaxed) < NODES_MAX) {
            Some(keeper) => keeper,
            None => self.new_keeper(control, patience).map_err(|error| error.code())?,
        };
        self.nodes.open(offset)?;
        step("enlist.opened");
        let tid = keeper.tid.load(Ordering::Relaxed);
        keeper.link(node);
        node.tid.store(tid, Ordering::Release);
        step("enlist.enlisted");
        Ok(tid)
    }

    /// The same for a word that is on a list already, most of the time.
    pub(super) fn keeper_of(&self, offset: usize, kind: &Kind, patience: Patience) -> Result<u32, Code> {
        match self.node(offset).tid() {
            0 => self.enlist(offset, kind, patience),
            own => Ok(own),
        }
    }

    /// One more keeper, with a slot of its own. Under the control's lock. The first of a process, in a child
    /// made by fork too, is how it joins.
    fn new_keeper<'a>(&'a self, control: &'a Control, patience: Patience) -> Result<&'a Keeper> {
        let count = control.keepers.load(Ordering::Relaxed);
        let refused = |why: &str| Err(Error::new(Errno::ENOLCK, why));
        let Some(keeper) = control.keeper.get(count as usize) else {
            return refused("this process has used as many locks as it can");
        };
        let own = Identity::own();
        control.namespace.store(own.namespace, Ordering::Relaxed);
        let futex_offset = (self.base as isize).wrapping_sub(self.mirror as isize);
        for _ in 0..TID_TRIES {
            // SAFETY: the reservation stays until all keepers are stopped.
            let started = unsafe { keeper.start(futex_offset) };
            let tid = match started {
                // A limit of threads (RLIMIT_NPROC, pids.max) is no reason to try again.
                Err(Errno::EAGAIN) => {
                    return refused("the kernel has no thread for the keeper (RLIMIT_NPROC)")
                }
                started => started.during(|| "cannot start the keeper".to_string())?,
            };
            step("join.started");
            let flags = if count > 0 { EXTRA } else { 0 };
            let claimed = self.claim(keeper, tid, own, flags, patience.until);
            let slot = match claimed {
                Ok(Some(slot)) => slot,
                failed => {
                    keeper.stop();
                    failed?;
                    let slots = self.table.shape.slots;
                    let code = if wait::is_over(patience.until) { patience.late } else { Errno::ENOLCK };
                    return Err(Error::new(code, format!("all {slots} slots are taken")));
                }
            };
            // In another PID namespace a process can have the same number; whoever sees that takes another.
            let twice = (0..self.table.used())
                .any(|other| other != slot && self.table.slot(other).owner() == Some(tid));
            if !twice {
                keeper.slot.store(slot, Ordering::Relaxed);
                control.keepers.store(count + 1, Ordering::Release);
                step("join.joined");
                return Ok(keeper);
            }
            self.release(keeper, slot);
        }
        refused("other PID namespaces have keepers of the same numbers, again and again")
    }

    /// Takes a free slot, or one whose owner died: None where there is none by the deadline.
    fn claim(
        &self,
        keeper: &Keeper,
        tid: u32,
        own: Identity,
        flags: u32,
        deadline: Deadline,
    ) -> Result<Option<u32>> {
        let now = Deadline::after(Duration::ZERO);
        for (patience, is_last) in [(now, false), (deadline.or_after(LONG_DEATH), true)] {
            for index in 0..self.table.shape.slots {
                let slot = self.table.slot(index);
                if slot.owner().is_some() && !(is_last && self.table.is_abandoned(index)) {
                    continue;
                }
                let seen = slot.word.load(Ordering::Acquire);
                if seen & TM != 0 {
                    continue;
                }
                if slot.is_dead() {
                    let settled = self.table.settle_one(index, own.namespace, patience);
                    if !settled || !barrier::tell_everywhere(self, index) {
                        continue;
                    }
                }
                // On the list before it is ours, so that it is never ours without.
                let offset = self.table_offset + self.table.offset_of(index);
                self.nodes.open(offset).during(|| "no memory for the keeper's list".to_string())?;
                keeper.link(self.node(offset));
                step("claim.linked");
                let taken =
                    slot.word.compare_exchange(seen, tid | seen & W, Ordering::SeqCst, Ordering::Relaxed);
                if taken.is_err() {
                    keeper.clear();
                    continue;
                }
                step("claim.took");
                if slot.has_identity() {
                    // Another one took it since we have looked, and died: nobody has waited for its end.
                    slot.give_back();
                    keeper.clear();
                    continue;
                }
                (0..self.table.shape.cells).for_each(|cell| {
                    self.table.cell(index, cell).store(0, Ordering::Release);
                });
                step("claim.cells");
                let page = self.table.begin_presence(index, slot.claims().wrapping_add(1));
                keeper.page.store(page.map_or(null_mut(), NonNull::as_ptr), Ordering::Relaxed);
                let present = if page.is_some() { PRESENCE } else { 0 };
                slot.flags.store(flags | present, Ordering::Release);
                step("claim.present");
                slot.identify(own, tid);
                step("claim.identified");
                self.table.note_used(index);
                step("claim.used");
                // Those who watch the party do not watch this slot yet.
                self.table.announce();
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Frees a keeper's slot, and ends it.
    fn release(&self, keeper: &Keeper, index: u32) {
        let slot: &Slot = self.table.slot(index);
        slot.forget_identity();
        step("leave.forgot");
        if let Some(page) = NonNull::new(keeper.page.swap(null_mut(), Ordering::Relaxed)) {
            self.table.end_presence(page);
        }
        let had = slot.word.swap(0, Ordering::AcqRel);
        step("leave.freed");
        keeper.stop();
        step("leave.stopped");
        self.table.announce();
        step("leave.announced");
        if had & W != 0 {
            let _ = futex::wake(&slot.word, i32::MAX);
        }
    }

    fn retire(&self) -> Result<(), Code> {
        let control = self.control();
        let _held = control.hold();
        let keepers = || {
            let count = control.keepers.load(Ordering::Relaxed) as usize;
            control.keeper.iter().take(count)
        };
        let mut holds = false;
        for keeper in keepers() {
            let tid = keeper.tid.load(Ordering::Relaxed);
            keeper.each(|node| {
                let offset = std::ptr::from_ref(node) as usize - self.mirror as usize;
                // SAFETY: enlisted, so a word in the region.
                let word = unsafe { &*self.at::<AtomicU32>(offset) };
                holds |= word.load(Ordering::Relaxed) & TM == tid;
            });
        }
        if let Some(first) = keepers().next() {
            let slot = first.slot.load(Ordering::Relaxed);
            holds |= (0..self.table.shape.cells)
                .map(|cell| self.table.cell(slot, cell).load(Ordering::Relaxed))
                .any(|count| count != 0 && count & MARK == 0);
        }
        let start = self.base as usize;
        holds |= watcher::is_waiting_within(start..start + self.limit.load(Ordering::Relaxed));
        if holds {
            return Err(Errno::EBUSY.into());
        }
        // Who leaves is not one who died: no marks stay behind.
        if let Some(first) = keepers().next() {
            let slot = first.slot.load(Ordering::Relaxed);
            (0..self.table.shape.cells).for_each(|cell| {
                self.table.cell(slot, cell).store(0, Ordering::Release);
            });
        }
        for keeper in keepers() {
            self.release(keeper, keeper.slot.load(Ordering::Relaxed));
        }
        control.keepers.store(0, Ordering::Release);
        Ok(())
    }

    /// This process's slot. In a child made by fork it is a new one, and this takes it.
    pub(super) fn slot(&self) -> Result<u32, Code> {
        self.slot_with(Patience::brief())
    }

    pub(super) fn slot_with(&self, patience: Patience) -> Result<u32, Code> {
        let control = self.control();
        if control.keepers.load(Ordering::Acquire) == 0 {
            let _held = control.hold();
            if control.keepers.load(Ordering::Relaxed) == 0 {
                self.new_keeper(control, patience).map_err(|error| error.code())?;
            }
        }
        Ok(control.keeper[0].slot.load(Ordering::Relaxed))
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn changes(&self) -> u32 {
        self.table.header().changes.load(Ordering::Acquire)
    }

    /// See [`Party::wait`].
    pub(super) fn watch(
        &self,
        word: &AtomicU32,
        value: u32,
        seen: u32,
        deadline: Deadline,
    ) -> Result<Wake, Code> {
        self.watch_part(word, value, || word.load(Ordering::Acquire) == value, seen, deadline)
    }

    /// The same for a word that is a part of a larger one, which `is_so` looks at.
    pub(super) fn watch_part(
        &self,
        part: &AtomicU32,
        value: u32,
        is_so: impl Fn() -> bool,
        seen: u32,
        deadline: Deadline,
    ) -> Result<Wake, Code> {
        let own = self.slot_with(Patience::until(deadline))?;
        Ok(wait::watch(&self.table, own, (part, value), is_so, seen, deadline))
    }

    /// Waits until all processes that are marked dead have stopped to write; false where the deadline is over
    /// before. For one who has joined.
    pub(super) fn settle(&self, deadline: Deadline) -> bool {
        self.table.settle(self.control().namespace.load(Ordering::Relaxed), deadline)
    }

    /// The process whose keeper has this number: None where it is no member, or its slot has no process's number:
    /// 0 and what is negative mean many processes to kill(2).
    pub(super) fn process_of(&self, tid: u32) -> Option<u32> {
        let slot = self.table.find(tid)?;
        let pid = self.table.slot(slot).identity.load(Ordering::Acquire) as u32;
        (1..=i32::MAX as u32).contains(&pid).then_some(pid)
    }

    /// Whether this thread is the one that holds a word which the process owns.
    pub(super) fn is_holder(&self, node: &Node) -> bool {
        !self.any_thread() && node.holder.load(Ordering::Relaxed) == thread::identity()
    }
}

/// Two keepers in different PID namespaces seldom have the same number twice.
const TID_TRIES: u32 = 100;

/// How long joining waits for a slot whose process is about to end, where no other is free.
const LONG_DEATH: Duration = Duration::from_secs(1);

/// The same for a call that does not wait.
const BRIEF: Duration = Duration::from_millis(2);

/// How long the first use in a child made by fork, which joins then, waits for a slot.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    until: Deadline,
    /// What it answers where that is over.
    late: Errno,
}

impl Patience {
    pub(super) fn until(deadline: Deadline) -> Patience {
        Patience { until: deadline, late: Errno::ETIMEDOUT }
    }

    pub(super) fn brief() -> Patience {
        Patience { until: Deadline::after(BRIEF), late: Errno::ENOLCK }
    }
}
