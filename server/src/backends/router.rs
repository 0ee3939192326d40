//! Selects one of several models by the model name of the request.

use std::fmt;
use std::sync::Arc;

use globset::GlobMatcher;
use tokio::sync::mpsc;

use backend::{Backend, BackendError, Embed, Embedding, ModelStream, Prompt, RequestContext};
use parse::glob::{self, GlobError};

/// Forwards each prompt to the first backend whose pattern matches the model's name.
pub struct Router {
    routes: Vec<(GlobMatcher, Arc<dyn Backend>)>,
}

impl Router {
    /// `routes` in matching order. An invalid glob pattern is an error.
    pub fn new(routes: Vec<(String, Arc<dyn Backend>)>) -> Result<Router, GlobError> {
        let routes = routes
            .into_iter()
            .map(|(pattern, backend)| Ok((glob::matcher(&pattern)?, backend)))
            .collect::<Result<_, GlobError>>()?;
        Ok(Router { routes })
    }

    fn no_route(&self, model: &str) -> BackendError {
        let patterns: Vec<&str> = self.routes.iter().map(|(glob, _)| glob.glob().glob()).collect();
        BackendError::Refused(match patterns[..] {
            [] => format!("No backend answers for the model `{model}`: none is configured."),
            _ => format!(
                "No backend answers for the model `{model}`. There are backends for: {}.",
                patterns.join(", ")
            ),
        })
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter().map(|(glob, backend)| (glob.glob().glob(), backend));
        f.debug_map().entries(routes).finish()
    }
}

impl Backend for Router {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        match self.routes.iter().find(|(glob, _)| glob.is_match(&prompt.model)) {
            Some((_, backend)) => backend.generate(prompt, context),
            None => {
                let (events, stream) = mpsc::channel(1);
                events.try_send(Err(self.no_route(&prompt.model))).expect("the channel is empty");
                stream
            }
        }
    }

    fn embed(&self, request: &Arc<Embed>) -> Option<Embedding> {
        let (_, backend) = self.routes.iter().find(|(glob, _)| glob.is_match(&request.model))?;
        backend.embed(request)
    }

    fn has_own_signatures(&self, model: &str) -> bool {
        let route = self.routes.iter().find(|(glob, _)| glob.is_match(model));
        route.is_some_and(|(_, backend)| backend.has_own_signatures(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backend::{ModelEvent, Tools};
    use domain::interaction::GenerationConfig;

    /// A model that answers with its name.
    #[derive(Debug)]
    struct Named(&'static str);

    impl Backend for Named {
        fn generate(&self, _: Prompt, _: &RequestContext) -> ModelStream {
            let (events, stream) = mpsc::channel(1);
            events.try_send(Ok(ModelEvent::Text(self.0.into()))).expect("the channel is empty");
            stream
        }
    }

    fn answer(routes: &[(&str, &'static str)], model: &str) -> String {
        let routes = routes
            .iter()
            .map(|&(pattern, name)| (pattern.into(), Arc::new(Named(name)) as Arc<dyn Backend>));
        let router = Router::new(routes.collect()).expect("the patterns are right");
        let prompt = Prompt {
            model: model.into(),
            system_instruction: None,
            tools: Tools::default(),
            generation_config: GenerationConfig::default(),
            steps: [].into(),
            files: [].into(),
        };
        let mut stream = router.generate(prompt, &RequestContext::default());
        match stream.try_recv().expect("there is an answer") {
            Ok(ModelEvent::Text(name)) => name,
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_pattern_that_fits_decides() {
        let routes = [("direct", "direct"), ("qwen*", "openai"), ("*", "scripted")];
        for (model, expected) in [
            ("direct", "direct"),
            ("qwen3:8b", "openai"),
            ("gemini-3-flash-preview", "scripted"),
            ("tunedModels/direct", "scripted"),
        ] {
            assert_eq!(answer(&routes, model), expected, "{model}");
        }
    }

    #[test]
    fn a_model_without_a_backend_is_refused_with_the_patterns() {
        let text = answer(&[("direct", "direct"), ("qwen*", "openai")], "gpt-5");
        assert!(text.contains("`gpt-5`") && text.contains("direct, qwen*"), "{text}");
    }

    #[test]
    fn a_pattern_that_is_no_glob_is_an_error() {
        let routes = vec![("[".into(), Arc::new(Named("a")) as Arc<dyn Backend>)];
        assert!(Router::new(routes).is_err());
    }
}
