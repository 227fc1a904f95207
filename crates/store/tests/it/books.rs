use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use paygate_core::clock::{ManualClock, Timestamp};
use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::entropy::SeededEntropy;
use paygate_core::gate::{Arguments, CallRequest, Charged, Decision, Gate, GateParts};
use paygate_core::journal::Durability;
use paygate_core::ledger::{KeyOptions, Ledger, Written};
use paygate_core::usage::UsageMeter;
use paygate_store::{Change, OpenError, OpenOptions, Policies, Retention, StateFile};
use tempfile::TempDir;

/// 2026-03-14T09:26:53.589Z.
pub(crate) const NOW: Timestamp = Timestamp(1_773_480_413_589);

/// A folder with a state file that is opened again and again.
pub(crate) struct Books {
    pub(crate) folder: TempDir,
    pub(crate) options: OpenOptions,
    told: Arc<Mutex<Vec<String>>>,
}

impl Books {
    pub(crate) fn new(policies: Policies) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let lines = told.clone();
        let options = OpenOptions {
            path: Some(folder.path().join("state.json")),
            durability: Durability::Process,
            clock: Arc::new(ManualClock::at(NOW)),
            entropy: Arc::new(SeededEntropy::new(1)),
            policies,
            retention: Retention::default(),
            tell: Arc::new(move |notice| lines.lock().unwrap().push(notice.to_string())),
        };
        Self { folder, options, told }
    }

    pub(crate) fn command_line() -> Self {
        Self::new(Policies::COMMAND_LINE)
    }

    pub(crate) fn in_process() -> Self {
        Self::new(Policies::IN_PROCESS)
    }

    pub(crate) fn at(mut self, name: &str) -> Self {
        self.options.path = Some(self.folder.path().join(name));
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.options.path.clone().unwrap()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("state.json.db")
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    pub(crate) fn open(&self) -> StateFile {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<StateFile, OpenError> {
        StateFile::open(self.options.clone())
    }

    /// What was told since the last time, with the folder's name left out.
    pub(crate) fn told(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        self.told.lock().unwrap().drain(..).map(|line| line.replace(&folder, "")).collect()
    }

    /// The names of all files, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What a test does to a state file, as a program would.
pub(crate) trait Uses {
    fn open_key(&self, key: &str, credits: u64);
    fn grant(&self, key: &str, credits: u64);
    fn spend(&self, key: &str, credits: u64);
    fn balance(&self, key: &str) -> Option<u64>;
    fn keys(&self) -> Vec<String>;
    fn mutated<T>(&self, written: Written<T>);
    fn assert_books_agree(&self);
}

impl Uses for StateFile {
    fn open_key(&self, key: &str, credits: u64) {
        let credits = Credits::new(credits).unwrap();
        self.mutated(self.ledger().open(key, "", credits, KeyOptions::default()));
    }

    fn grant(&self, key: &str, credits: u64) {
        self.mutated(self.ledger().grant(key, Credits::new(credits).unwrap()).unwrap().unwrap());
    }

    fn spend(&self, key: &str, credits: u64) {
        let written = self.ledger().deduct(key, Credits::new(credits).unwrap()).unwrap();
        self.ledger().wait(written.ticket).unwrap();
    }

    fn balance(&self, key: &str) -> Option<u64> {
        Some(self.ledger().accounts.find(key)?.lock().credits.get())
    }

    fn keys(&self) -> Vec<String> {
        self.ledger().accounts.entries().into_iter().map(|(key, _)| key.to_string()).collect()
    }

    fn mutated<T>(&self, written: Written<T>) {
        self.ledger().wait(written.ticket).unwrap();
        self.changed(Change::ByMutator);
    }

    fn assert_books_agree(&self) {
        assert_eq!(self.verify().unwrap().unwrap().faults, Vec::<String>::new());
    }
}

/// A gate over a ledger, without a rate limit.
pub(crate) fn gate(ledger: &Arc<Ledger>, config: GateConfig) -> Arc<Gate> {
    let config = GateConfig { global_rate_limit: 0.0, ..config };
    let meter = Arc::new(UsageMeter::new(100.0));
    Arc::new(Gate::new(config, GateParts { ledger: ledger.clone(), meter, sinks: Vec::new() }))
}

fn call(key: &str) -> CallRequest<'_> {
    CallRequest { key: Some(key), tool: "search", arguments: Arguments::None, address: None }
}

/// Takes the price of a call that is yet to end; `None` when it is refused.
pub(crate) fn charge(gate: &Arc<Gate>, key: &str) -> Option<Charged> {
    gate.charge(&call(key)).unwrap().charge
}

/// Decides a call in one go.
pub(crate) fn evaluate(gate: &Gate, key: &str) -> Decision {
    gate.evaluate(&call(key)).unwrap()
}
