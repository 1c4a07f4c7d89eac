// What a TypeScript program does with the types that openapi-typescript makes and openapi-fetch. Says in the end what it got.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Item = components["schemas"]["ItemResponse"];

const [email, password] = ["typescript@example.org", "Correct-Horse-42"];
const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

const registered = await client.POST("/api/v1/users/", { body: { email, full_name: "Grace", password } });
const userId: number | undefined = registered.data?.id;
const again = await client.POST("/api/v1/users/", { body: { email, password } });
assert.equal(again.response.status, 409);
assert.equal(again.error?.code, "email_taken");

const pair = await client.POST("/api/v1/auth/login", { body: { email, password } });
assert.ok(pair.data);
client.use({
    onRequest({ request }) {
        request.headers.set("Authorization", `Bearer ${pair.data.access_token}`);
    },
});
const me = await client.GET("/api/v1/users/me");
assert.equal(me.data?.id, userId);

const milk = await client.POST("/api/v1/items/", {
    body: { title: "Milk" },
    params: { header: { "Idempotency-Key": "milk" } },
});
assert.ok(milk.data);
const path = { item_id: milk.data.id };
const header = { "If-Match": `"${milk.data.version}"` };
const bread = await client.PATCH("/api/v1/items/{item_id}", { body: { title: "Bread" }, params: { path, header } });
const stale = await client.PATCH("/api/v1/items/{item_id}", { body: { title: "Tea" }, params: { path, header } });
assert.equal(stale.error?.code, "version_mismatch");
const read = await client.GET("/api/v1/items/{item_id}", { params: { path } });
assert.deepEqual(read.data, bread.data);

const listed = await client.GET("/api/v1/items/", { params: { query: { q: "bread", sort: "-created_at" } } });
const items: Item[] = listed.data?.items ?? [];

const form = new FormData();
form.set("file", new Blob(["Earl Grey"], { type: "text/plain" }), "tea.txt");
const stored = await client.POST("/api/v1/files/upload", { body: { file: "" }, bodySerializer: () => form });
assert.ok(stored.data);
const content = await client.GET("/api/v1/files/{file_id}/content", {
    params: { path: { file_id: stored.data.id }, header: { Range: "bytes=-4" } },
    parseAs: "text",
});
assert.equal(content.data, "Grey");
const invalid = await client.GET("/api/v1/items/", { params: { query: { limit: 0 } } });
const wrongField: string | undefined = invalid.error?.errors?.[0]?.field;
assert.equal(wrongField, "query.limit");

console.log(items.map((item) => item.title).join(", "));

// @ts-expect-error: a field that the API doesn't know is a mistake before anything runs
export const misspelt: components["schemas"]["ItemBody"] = { title: "Milk", colour: "white" };
// @ts-expect-error: and so is a path
export type Misspelt = paths["/api/v1/itmes/"];
