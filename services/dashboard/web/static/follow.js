// Keep a page of trainings or models up to date.

import { follow } from "./fresh.js";

follow();
