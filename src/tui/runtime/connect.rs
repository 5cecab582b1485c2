//! Going to another target while the dashboard is open: a connection is made beside the one in
//! use, and takes its place when the state says so.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use crate::client::{self, Client, Target};
use crate::config::Config;
use crate::model::Prices;
use crate::tui::event::{Arrival, Cause, Destination, Place, Reply, Trouble};
use crate::tui::runtime::{health, of_client};
use crate::tui::session;

/// Opens the embedded engine, or finds it open.
pub type OpenEngine = Arc<dyn Fn() -> BoxFuture<'static, Result<Target, String>> + Send + Sync>;

/// What is needed to go elsewhere.
#[derive(Clone, Default)]
pub struct Ways {
    /// The settings at the start: endpoint, share of the budget, what is special about profiles.
    pub config: Config,
    pub engine: Option<OpenEngine>,
    /// The folder of sessions; `None` remembers nothing.
    pub sessions: Option<PathBuf>,
    /// The folder of trail, journals and ledger; `None` keeps none.
    pub state: Option<PathBuf>,
    /// Is told of every change.
    pub trail: Option<client::Trail>,
}

/// A connection that waits to be used.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Option<Client>>>);

impl Waiting {
    fn put(&self, client: Client) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    pub fn take(&self) -> Option<Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where records are kept, and what estimates are made with.
#[derive(Clone)]
pub struct Records {
    pub state: Option<PathBuf>,
    pub prices: Prices,
}

impl Ways {
    pub fn records(&self) -> Records {
        Records {
            state: self.state.clone(),
            prices: self.config.prices.clone(),
        }
    }

    /// The file of what is remembered of this client's target.
    pub fn session_path(&self, client: &Client) -> Option<PathBuf> {
        let connection = client.connection();
        let folder = self.sessions.as_ref()?;
        Some(session::path(folder, &connection.label, &connection.region))
    }

    /// Connects, and reads what is remembered of the target. `locked` refuses every change.
    pub async fn go(
        self,
        destination: Destination,
        locked: bool,
        waiting: Waiting,
    ) -> Reply<Box<Arrival>> {
        let (target, is_read_only) = match destination.place {
            Place::Engine => {
                let open = self.engine.as_ref().ok_or_else(|| no_engine(None))?;
                let target = open().await.map_err(|error| no_engine(Some(error)))?;
                (target, self.config.read_only)
            }
            Place::Profile(profile) => {
                let in_force = profile.clone().or_else(client::profile_in_force);
                let name = in_force.as_deref().unwrap_or("default");
                let is_read_only = self.config.is_read_only(name);
                let target = Target::Aws {
                    profile,
                    region: destination.region,
                    endpoint_url: self.config.endpoint_url.clone(),
                };
                (target, is_read_only)
            }
        };
        let options = client::Options {
            read_only: is_read_only || locked,
            budget_share: self.config.budget_share,
            trail: self.trail.clone(),
            shared_in: self.state.as_ref().map(|folder| folder.join("budget")),
        };
        let client = Client::connect(target, options).await.map_err(of_client)?;
        let path = self.session_path(&client);
        let session = match path {
            None => Ok(None),
            Some(path) => tokio::task::spawn_blocking(move || session::read(&path))
                .await
                .unwrap_or_else(|_| Err("reading the last visit failed inside".to_owned())),
        };
        let arrival = Arrival {
            health: health(&client),
            session,
        };
        waiting.put(client);
        Ok(Box::new(arrival))
    }
}

impl Ways {
    /// A client of the embedded engine: this one, where it is of that already.
    pub async fn own_engine(&self, client: &Client) -> Reply<Client> {
        if client.connection().local {
            return Ok(client.clone());
        }
        let open = self.engine.as_ref().ok_or_else(|| no_engine(None))?;
        let target = open().await.map_err(|error| no_engine(Some(error)))?;
        let options = client::Options {
            read_only: false,
            budget_share: self.config.budget_share,
            shared_in: None,
            trail: self.trail.clone(),
        };
        Client::connect(target, options).await.map_err(of_client)
    }
}

fn no_engine(why: Option<String>) -> Trouble {
    let why = why.unwrap_or_else(|| "it is not at hand here".to_owned());
    Trouble {
        text: format!("the embedded engine cannot be opened: {why}"),
        hint: None,
        slowed: false,
        cause: Cause::Other,
    }
}
