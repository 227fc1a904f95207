//! What operators ask for, by the admin key. A file for each resource; this one only merges.

mod error;
mod fields;
mod keys;
mod topup;

use crate::http::route::Routes;

pub(crate) fn routes(routes: &mut Routes) {
    keys::routes(routes);
    topup::routes(routes);
}
