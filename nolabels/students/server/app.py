"""The application: its addresses, and what is counted of each request."""

import argparse
import asyncio
import contextlib
import time
from typing import Any

import prometheus_client as prometheus
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .asked import Answer, Answers, Error, Given, answer_of, parse, read
from .batches import Batches, Model, Refused, log_error

ABOUT = """Labels texts. `POST /predict` with `{"text": "..."}` or `{"texts": ["...", ...]}`; `"all": true` adds the
probability of every class, `"threshold": 0.8` gives no label below it. Errors are `{"error": "place: rule, found value"}`."""
ROUTES = {"/predict": "POST", "/health": "GET", "/metrics": "GET", "/docs": "GET", "/openapi.json": "GET"}


class Watch:
    """Counts and times every request, and keeps what goes wrong in the app out of the server's log."""

    def __init__(self, app, figures):
        self.app, self.figures = app, figures

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), None

        async def watched(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            log_error(f"a request failed ({type(error).__name__})")
            if status is None:
                await refuse(Refused(500, "server: must answer, found that it failed"))(
                    scope, receive, watched
                )
        path = scope["path"] if scope["path"] in ROUTES else "other"
        self.figures.requests.labels(path, status or 499).inc()
        if (status or 499) >= 400:
            self.figures.errors.labels(status or 499).inc()
        if path == "/predict":
            self.figures.seconds.observe(time.perf_counter() - started)


def refuse(error: Refused) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse(
        {"error": str(error)}, error.status, {"Retry-After": "1"} if error.status == 503 else None
    )


async def elsewhere(request: Request, error: HTTPException) -> JSONResponse:
    """The answer to another path or method than those there are."""
    path, method = request.url.path, ROUTES.get(request.url.path)
    message = f"path: must be one of {', '.join(ROUTES)}; found another"
    if method:
        message = f"method: must be {method} for {path}, found {request.method}"
    return refuse(Refused(error.status_code, message))


def make_app(model: Model, limits: argparse.Namespace) -> FastAPI:
    """The ASGI application. limits: the command's arguments."""
    batches = Batches(model, limits)

    @contextlib.asynccontextmanager
    async def running(_):
        app.state.task = asyncio.create_task(batches.run())
        yield
        app.state.task.cancel()
        batches.threads.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(title="Text classifier", description=ABOUT, lifespan=running, redoc_url=None)
    app.add_middleware(Watch, figures=batches.figures)
    example = {"texts": ["A warm, funny film.", "Dull."], "all": True}
    content = {"application/json": {"schema": Given.model_json_schema(), "example": example}}
    body = {"requestBody": {"content": content, "required": True}}
    responses: dict[int | str, dict[str, Any]] = {200: {"model": Answer | Answers}}
    responses |= {status: {"model": Error} for status in (400, 408, 413, 422, 500, 503, 504)}

    @app.post("/predict", responses=responses, openapi_extra=body)
    async def predict(request: Request):
        """Labels of one text (text) or of several (texts)."""
        try:
            texts, one, everything, threshold = parse(await read(request, limits), limits)
            shares = await batches.answer(texts)
        except Refused as error:
            return refuse(error)
        except ClientDisconnect:
            return Response(status_code=499)
        answers = [answer_of(model, row, threshold, everything) for row in shares]
        return JSONResponse(answers[0] if one else {"answers": answers})

    @app.get("/health", responses={503: {"model": Error}})
    async def health():
        """Whether texts are answered, and of which classes."""
        if app.state.task.done():
            return refuse(Refused(503, "model: must run, found it stopped"))
        about = {"multi_label": model.multi_label, "threshold": model.threshold}
        names = model.classes_.tolist()
        return JSONResponse({"status": "ok", "waiting": batches.waiting, "classes": names, **about})

    @app.get("/metrics", response_class=Response)
    async def metrics():
        """Figures in the format of Prometheus."""
        text = prometheus.generate_latest(batches.figures.registry)
        return Response(text, media_type="text/plain; version=0.0.4")

    app.exception_handler(HTTPException)(elsewhere)
    return app
