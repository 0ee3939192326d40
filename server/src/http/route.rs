//! A route: a path, a method, its handler, and its description in the OpenAPI document.

use axum::handler::Handler;
use axum::routing::{self, MethodRouter};

use crate::http::App;
use crate::http::openapi::Operation;

pub struct Route {
    /// Below the prefix of its group, in the syntax of axum's router.
    pub path: &'static str,
    /// In lower case, as in the document.
    pub method: &'static str,
    pub handler: MethodRouter<App>,
    /// Several if one handler serves several paths of the document, as `/models/{*rest}` does.
    pub operations: Vec<Operation>,
}

impl Route {
    pub fn get<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Route {
        Route::new(path, "get", routing::get(handler), operation)
    }

    pub fn post<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Route {
        Route::new(path, "post", routing::post(handler), operation)
    }

    pub fn put<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Route {
        Route::new(path, "put", routing::put(handler), operation)
    }

    pub fn patch<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Route {
        Route::new(path, "patch", routing::patch(handler), operation)
    }

    pub fn delete<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Route {
        Route::new(path, "delete", routing::delete(handler), operation)
    }

    fn new(
        path: &'static str,
        method: &'static str,
        handler: MethodRouter<App>,
        operation: Operation,
    ) -> Route {
        Route { path, method, handler, operations: vec![operation] }
    }
}
