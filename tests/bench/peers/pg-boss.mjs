// The peer "pg-boss".
import { PgBoss } from 'pg-boss'
import { main } from './cli.mjs'

const QUEUE = 'effect'

const boss = new PgBoss({
  connectionString: process.env.DATABASE_URL,
  schedule: false, // no cron here
})
boss.on('error', error => console.error(error.message))

await main({
  async install() {
    await boss.start()
    await boss.createQueue(QUEUE)
  },

  async enqueue(jobs) {
    await boss.start()
    await boss.insert(QUEUE, jobs.map(job => ({ data: job, startAfter: job.due })))
  },

  async work() {
    await boss.start()
    await boss.work(
      QUEUE,
      {
        pollingIntervalSeconds: 0.5, // the least that pg-boss takes
        batchSize: 500,
        localConcurrency: 4, // as many polls and batches side by side
        burstWhenBatchFull: true, // no wait after a full batch
        transactional: true, // the handler's insert commits with the batch's completion
      },
      (jobs, tx) =>
        tx.executeSql(
          'insert into effect (id, due) select * from unnest($1::bigint[], $2::timestamptz[])',
          [jobs.map(job => job.data.id), jobs.map(job => job.data.due)],
        ),
    )
  },

  close: () => boss.stop(),
})
