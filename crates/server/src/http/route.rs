//! Which handler answers a request, and what is asked before.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderValue, Method, StatusCode};
use paygate_core::usage::metrics::OTHER;

use super::body;
use super::request::Request;
use super::respond::{self, IntoResponse, Response};
use crate::app::App;
use crate::public::mcp;
use crate::{admin, public};

/// The path that speaks MCP.
const MCP: &str = "/mcp";

type Handler = Box<dyn Fn(Arc<App>, Request) -> Answering + Send + Sync>;
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Who may ask, and whether the key or the method is looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    /// A wrong method is told to anyone, then the admin key is asked for.
    AdminAfterMethod,
    /// Nothing is told without the admin key.
    AdminBeforeMethod,
}

/// One path: who may ask, by which methods, and what answers.
pub(crate) struct Route {
    access: Access,
    methods: Vec<(Method, Handler)>,
    /// Answers whatever the method is.
    any: Option<Handler>,
    /// What is told to those who ask by another method.
    wrong_method: &'static str,
    /// What is told to anyone, before all else, if the path leads nowhere in this server.
    closed: fn(&App) -> Option<Response>,
}

/// All paths but `/mcp`.
#[derive(Default)]
pub(crate) struct Routes {
    paths: HashMap<&'static str, Route>,
}

impl Routes {
    /// The routes of all resources.
    pub(crate) fn all() -> Self {
        let mut routes = Self::default();
        public::routes(&mut routes);
        admin::routes(&mut routes);
        routes
    }

    /// Whether a path leads anywhere.
    fn knows(&self, path: &str) -> bool {
        path == MCP || self.paths.contains_key(path)
    }

    /// Opens a path.
    pub(crate) fn at(&mut self, path: &'static str, access: Access) -> &mut Route {
        self.paths.entry(path).or_insert_with(|| Route {
            access,
            methods: Vec::new(),
            any: None,
            wrong_method: "Method not allowed",
            closed: |_| None,
        })
    }
}

impl Route {
    pub(crate) fn get<F, R>(&mut self, handler: fn(Arc<App>, Request) -> F) -> &mut Self
    where
        F: Future<Output = R> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.methods.push((Method::GET, boxed(handler)));
        self
    }

    pub(crate) fn post<F, R>(&mut self, handler: fn(Arc<App>, Request) -> F) -> &mut Self
    where
        F: Future<Output = R> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.methods.push((Method::POST, boxed(handler)));
        self
    }

    pub(crate) fn delete<F, R>(&mut self, handler: fn(Arc<App>, Request) -> F) -> &mut Self
    where
        F: Future<Output = R> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.methods.push((Method::DELETE, boxed(handler)));
        self
    }

    /// Has a text of its own for those who ask by a method that there is no handler for.
    pub(crate) fn wrong_method(&mut self, message: &'static str) -> &mut Self {
        self.wrong_method = message;
        self
    }

    /// Leads nowhere, for anyone, in a server that has a refusal for it.
    pub(crate) fn closed_by(&mut self, closed: fn(&App) -> Option<Response>) -> &mut Self {
        self.closed = closed;
        self
    }

    /// Answers whatever the method is.
    pub(crate) fn any<F, R>(&mut self, handler: fn(Arc<App>, Request) -> F)
    where
        F: Future<Output = R> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.any = Some(boxed(handler));
    }

    fn handler(&self, method: &Method) -> Option<&Handler> {
        let known = self.methods.iter().find(|(known, _)| known == method).map(|(_, handler)| handler);
        known.or(self.any.as_ref())
    }

    /// What answers a request, or why nothing does.
    async fn admit(&self, app: &App, request: &Request) -> Result<&Handler, Response> {
        if let Some(refusal) = (self.closed)(app) {
            return Err(refusal);
        }
        let handler = self.handler(&request.head.method).ok_or_else(|| {
            respond::method_not_allowed(self.wrong_method, self.methods.iter().map(|(method, _)| method))
        });
        match self.access {
            Access::Public => handler,
            Access::AdminAfterMethod => {
                let handler = handler?;
                admit_operator(app, request).await?;
                Ok(handler)
            }
            Access::AdminBeforeMethod => {
                admit_operator(app, request).await?;
                handler
            }
        }
    }
}

/// Lets only those pass who show the admin key.
async fn admit_operator(app: &App, request: &Request) -> Result<(), Response> {
    app.admin.admit(request).await.map_err(|refusal| {
        let target = request.head.uri.path_and_query().map_or("/", |target| target.as_str());
        app.news.admin_auth_failed(target, request.head.method.as_str());
        refusal.into_response()
    })
}

fn boxed<F, R>(handler: fn(Arc<App>, Request) -> F) -> Handler
where
    F: Future<Output = R> + Send + 'static,
    R: IntoResponse + 'static,
{
    Box::new(move |app, request| {
        let answer = handler(app, request);
        Box::pin(async move { answer.await.into_response() })
    })
}

/// Answers a request and counts it. When no more are taken, the answer is the connection's last.
pub(crate) async fn answer(app: Arc<App>, request: Request) -> Response {
    let (method, uri) = (request.head.method.clone(), request.head.uri.clone());
    let mut response = routed(app.clone(), request).await;
    let path = if app.routes.knows(uri.path()) { uri.path() } else { OTHER };
    app.news.metrics.record_http_request(method.as_str(), path, response.status().as_u16());
    if app.draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn routed(app: Arc<App>, request: Request) -> Response {
    if request.head.method == Method::OPTIONS {
        return respond::empty(StatusCode::NO_CONTENT);
    }
    if !app.origins.permits(&request.head.headers) {
        return refuse(request, respond::error(StatusCode::FORBIDDEN, "Origin not allowed")).await;
    }
    let Some(path) = path(&request) else {
        return refuse(request, not_found()).await;
    };
    if path == MCP {
        return mcp::answer(app, request).await;
    }
    let Some(route) = app.routes.paths.get(path) else {
        return refuse(request, not_found()).await;
    };
    match route.admit(&app, &request).await {
        Ok(handler) => handler(app.clone(), request).await,
        Err(refusal) => refuse(request, refusal).await,
    }
}

fn not_found() -> Response {
    respond::error(StatusCode::NOT_FOUND, "Not found")
}

/// The path as it was sent; a target with scheme and host names no path here.
fn path(request: &Request) -> Option<&str> {
    let uri = &request.head.uri;
    uri.authority().is_none().then(|| uri.path())
}

/// Answers without having read the body.
pub(crate) async fn refuse(request: Request, refusal: Response) -> Response {
    body::discard(&request.head.headers, request.body).await;
    refusal
}
