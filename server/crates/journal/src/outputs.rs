//! Outputs of runs that are kept in memory for the assertions of tests: whole texts, pictures and files.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use domain::output::{Image, OutputFile};
use domain::owner::Owner;
use resources::budget::{Budget, Share};

/// Memory of all kept outputs. One owner of several has at most half of it.
const MAX_BYTES: usize = 64 << 20;
/// Maximum size of the files of one run.
pub const MAX_FILES_BYTES: usize = 4 << 20;

/// All of it that one run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeOutput {
    pub code: String,
    pub stdout: String,
    pub stderr: String,
    pub images: Vec<Image>,
    pub files: Vec<OutputFile>,
}

/// An output, until it has to make room for newer ones.
#[derive(Debug, Default)]
pub struct KeptOutput(Mutex<Option<(WholeOutput, Share)>>);

/// The kept outputs of all owners. The default keeps nothing.
#[derive(Debug, Clone)]
pub struct KeptOutputs {
    budget: Budget,
    /// Of each owner, oldest first.
    by_age: Arc<Mutex<HashMap<Owner, VecDeque<Weak<KeptOutput>>>>>,
}

impl Default for KeptOutputs {
    fn default() -> KeptOutputs {
        KeptOutputs::within(0)
    }
}

impl KeptOutputs {
    pub fn new() -> KeptOutputs {
        KeptOutputs::within(MAX_BYTES)
    }

    fn within(bytes: usize) -> KeptOutputs {
        KeptOutputs { budget: Budget::new(bytes), by_age: Arc::default() }
    }

    pub fn keeps_any(&self) -> bool {
        self.budget.bytes() > 0
    }

    /// Keeps an output. The owner's oldest ones make room for it.
    pub fn keep(&self, owner: &Owner, output: WholeOutput) -> Arc<KeptOutput> {
        let kept = Arc::<KeptOutput>::default();
        let budget = self.budget.of(owner);
        if output.bytes() > budget.most() {
            return kept;
        }
        let mut by_age = self.by_age.lock();
        let queue = by_age.entry(owner.clone()).or_default();
        let share = loop {
            match budget.take(output.bytes()) {
                Some(share) => break share,
                None => match queue.pop_front() {
                    // Its handle may be in use by a reader, who has a copy.
                    Some(oldest) => {
                        drop(oldest.upgrade().and_then(|oldest| oldest.0.lock().take()))
                    }
                    // Other owners have the rest.
                    None => return kept,
                },
            }
        };
        *kept.0.lock() = Some((output, share));
        // Dropped outputs leave their place in the queue. They are removed when it has doubled.
        if queue.len().is_power_of_two() {
            queue.retain(|output| output.strong_count() > 0);
        }
        queue.push_back(Arc::downgrade(&kept));
        kept
    }
}

impl KeptOutput {
    /// A copy, which shares the bytes of pictures and files.
    pub fn read(&self) -> Option<WholeOutput> {
        self.0.lock().as_ref().map(|(output, _)| output.clone())
    }
}

impl WholeOutput {
    fn bytes(&self) -> usize {
        let texts = self.code.len() + self.stdout.len() + self.stderr.len();
        let images = self.images.iter().map(|image| image.mime_type.len() + image.data.len());
        let files = self.files.iter().map(|file| file.path.len() + file.content.len());
        texts + images.sum::<usize>() + files.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn output(bytes: usize) -> WholeOutput {
        let data = Bytes::from(vec![0; bytes]);
        let files = vec![OutputFile { path: String::new(), content: data }];
        let (code, stdout, stderr) = Default::default();
        WholeOutput { code, stdout, stderr, images: Vec::new(), files }
    }

    fn owner(name: &str) -> Owner {
        Owner::named(name.to_owned())
    }

    #[test]
    fn the_oldest_output_makes_room() {
        let all = KeptOutputs::within(10 << 10);
        let kept = [4, 4, 4].map(|kib| all.keep(&Owner::default(), output(kib << 10)));
        assert_eq!(kept.each_ref().map(|kept| kept.read().is_some()), [false, true, true]);
        let large = all.keep(&Owner::default(), output(11 << 10));
        assert!(large.read().is_none(), "it is larger than all of the memory");
        assert!(kept[2].read().is_some(), "so nothing made room for it");
    }

    #[test]
    fn an_output_that_nothing_refers_to_takes_no_memory() {
        let all = KeptOutputs::within(10 << 10);
        let first = all.keep(&Owner::default(), output(5 << 10));
        for _ in 0..100 {
            drop(all.keep(&Owner::default(), output(5 << 10)));
        }
        assert!(first.read().is_some());
        assert!(all.by_age.lock()[&Owner::default()].len() <= 4);
    }

    #[test]
    fn owners_do_not_displace_each_other() {
        let all = KeptOutputs::within(10 << 10);
        let theirs = all.keep(&owner("a"), output(5 << 10));
        let ours = [3, 3].map(|kib| all.keep(&owner("b"), output(kib << 10)));
        assert_eq!(ours.map(|kept| kept.read().is_some()), [false, true]);
        assert!(theirs.read().is_some());
        assert!(!KeptOutputs::default().keeps_any());
        assert!(KeptOutputs::default().keep(&owner("a"), output(1)).read().is_none());
    }
}
