// A page that follows trainings and models.

import { follow } from "./fresh.js";

follow();
