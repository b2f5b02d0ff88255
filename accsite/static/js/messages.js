// What the page is told live and what it says, for editors: acc/messages.py says the same, and a test compares them.
// Without import and export, so that every script knows these names.

/**
 * What a signal tells of its change beside the version: the slug of a dataset, by what was done to it.
 * @typedef {Object} Hint
 * @property {string} [added]
 * @property {string} [renamed]
 * @property {string} [removed]
 * @property {string} [restored]
 */

/**
 * A topic has changed: what shows an older version is asked for anew.
 * @typedef {Object} Signal
 * @property {"signal"} type
 * @property {string} topic
 * @property {number} version
 * @property {Hint | null} data
 */

/**
 * The versions of the topics that the page has asked for.
 * @typedef {Object} Versions
 * @property {"versions"} type
 * @property {Object<string, number>} topics
 */

/**
 * A job that is watched, as it is now; rate in steps per second.
 * @typedef {Object} JobUpdate
 * @property {number} id
 * @property {string} kind
 * @property {string} title
 * @property {string} state
 * @property {string} state_label
 * @property {boolean} active
 * @property {boolean} held
 * @property {boolean} ended
 * @property {number} attempt
 * @property {number} workers_lost
 * @property {string} queue
 * @property {number | null} place
 * @property {string | null} experiment
 * @property {number | null} branch
 * @property {string | null} branch_slug
 * @property {number | null} checkpoint
 * @property {number} step
 * @property {number} total_steps
 * @property {number | null} progress
 * @property {number | null} rate
 * @property {number | null} eta_seconds
 * @property {number | null} elapsed_seconds
 * @property {string} device
 * @property {string | null} worker
 * @property {string[]} asked
 * @property {string} message
 * @property {Object<string, any>} result
 * @property {string | null} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {"job"} type
 */

/**
 * Seconds since a worker's last sign; by figure its text, and its percent where it is a share.
 * @typedef {Object} WorkerFigures
 * @property {number} seen
 * @property {Object<string, [string, number | null]>} figures
 */

/**
 * Figures that change all the time; by id of worker.
 * @typedef {Object} Pulse
 * @property {"pulse"} type
 * @property {string} topic
 * @property {Object<string, WorkerFigures>} data
 */

/**
 * The site is there; seconds since the epoch.
 * @typedef {Object} Ping
 * @property {"ping"} type
 * @property {number} time
 */

/**
 * A topic or a job that may not be watched, or may be no longer.
 * @typedef {Object} Refused
 * @property {"refused"} type
 * @property {string} [topic]
 * @property {number} [job]
 * @property {string} reason
 */

/**
 * A message of the page made no sense; detail says what would.
 * @typedef {Object} Misunderstood
 * @property {"error"} type
 * @property {string} detail
 */

/**
 * What the socket says.
 * @typedef {Versions | Signal | JobUpdate | Pulse | Ping | Refused | Misunderstood} ToPage
 */

/**
 * What a page says: which topics and jobs it begins to watch, or no longer does.
 * @typedef {Object} Watch
 * @property {"subscribe" | "unsubscribe"} type
 * @property {Object<string, number> | string[]} [topics]
 * @property {number[]} [jobs]
 */

/**
 * The header of points from the socket.
 * @typedef {Object} Frame
 * @property {number} job
 * @property {number} attempt
 * @property {number} seq
 * @property {number} start
 * @property {[number, number]} wall
 * @property {string[]} series
 * @property {number} step
 * @property {number} total
 * @property {number | null} rate
 * @property {number} rows
 * @property {number} count
 */

/**
 * The header of points from REST.
 * @typedef {Object} LossHistory
 * @property {number} job
 * @property {number} attempt
 * @property {number} seq
 * @property {number} step
 * @property {number} total
 * @property {"raw" | "envelope"} kind
 * @property {number} start
 * @property {number} stop
 * @property {string[]} series
 * @property {number} bucket
 * @property {Object<string, [number, number]>} [last]
 * @property {[number[], number[]]} [clock]
 * @property {number} rows
 * @property {number} count
 */

/**
 * What is asked about a latent, before the numbers of it.
 * @typedef {Object} LatentQuestion
 * @property {number} id
 * @property {"open" | "start" | "decode" | "file"} ask
 * @property {number} checkpoint
 * @property {boolean} [strip]
 * @property {number} [toward]
 * @property {number} [part]
 * @property {number} [seed]
 * @property {string} [dataset]
 * @property {number} [row]
 */

/**
 * A factor group as one slider.
 * @typedef {Object} LatentAxis
 * @property {string} name
 * @property {number} start
 * @property {number} end
 * @property {number[]} vector
 * @property {number} centre
 * @property {number} spread
 */

/**
 * What is answered about a latent, before numbers or pixels.
 * @typedef {Object} LatentAnswer
 * @property {number | null} id
 * @property {string} [error]
 * @property {number[]} [shape]
 * @property {number[]} [image]
 * @property {number[]} [mean]
 * @property {number[]} [spread]
 * @property {LatentAxis[]} [axes]
 * @property {boolean} [prior]
 * @property {string} [looked_at]
 * @property {number} [seed]
 * @property {string} [dataset]
 * @property {number} [row]
 * @property {number} [images]
 * @property {number} [numbers]
 * @property {number} [pictures]
 * @property {string} [file]
 * @property {number} [bytes]
 */
